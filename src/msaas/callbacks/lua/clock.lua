-- Put behind types.lua and outbox.lua (the key schema), before each of the sender's scripts.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function end_callback(id, state, error_text)
  redis.call('ZREM', outbox, id)
  redis.call('HSET', callback_key(id), 'state', state, 'last_error', error_text, 'ended_ms', string.format('%d', now))
  redis.call('HDEL', callback_key(id), 'token')
  redis.call('PEXPIRE', callback_key(id), CALLBACKS_REMEMBERED_MS)
end
