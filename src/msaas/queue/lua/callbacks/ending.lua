-- Ends callbacks. Concatenated before each of the sender's scripts.

-- Keeps an owner's latest ended callbacks, for at most a month: repeated posting does not fill memory.
local function remember_ended(id, owner)
  local ended = 'callbacks:ended:' .. owner
  make_room('zset', ended)
  redis.call('ZADD', ended, string.format('%d', now), id)
  redis.call('ZREMRANGEBYSCORE', ended, '-inf', string.format('%d', now - CALLBACKS_REMEMBERED_MS))
  for _, oldest in ipairs(redis.call('ZRANGE', ended, 0, -MAX_ENDED - 1)) do
    redis.call('ZREM', ended, oldest)
    redis.call('DEL', callback_key(oldest))
  end
  redis.call('PEXPIRE', ended, CALLBACKS_REMEMBERED_MS)
end

local function end_callback(id, state, error_text)
  local owner = owner_of(id)
  unschedule(id, owner)
  redis.call('HSET', callback_key(id), 'state', state, 'last_error', error_text, 'ended_ms', string.format('%d', now))
  redis.call('HDEL', callback_key(id), 'token')
  redis.call('PEXPIRE', callback_key(id), CALLBACKS_REMEMBERED_MS)
  count_open(id, owner, nil)
  remember_ended(id, owner)
end
