-- Calls once more, with all attempts: now, whatever came of it before. Its id stays, so the receiver can tell.
-- ARGV: id
-- Returns the state found: '' where nothing is known of it, 'waiting' where its job has not ended and nothing was
-- changed.
local key = callback_key(ARGV[1])
local state = fields_of(key, 'state')[1]
if not state or state == 'waiting' then
  return state or ''
end
redis.call('PERSIST', key)
redis.call('HDEL', key, 'token', 'ended_ms')
redis.call('HSET', key, 'state', 'pending', 'attempts', '0')
redis.call('ZADD', outbox, string.format('%d', now), ARGV[1])
return state
