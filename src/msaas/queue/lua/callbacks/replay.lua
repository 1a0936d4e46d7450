-- Schedules a callback again, now and with all attempts, whatever its state. Its id stays, so that the receiver can
-- recognise it.
-- ARGV: id
-- Returns the previous state: '' if unknown, 'waiting' if its job has not ended (nothing changes).
local key = callback_key(ARGV[1])
local state = fields_of(key, 'state')[1]
if not state or state == 'waiting' then
  return state or ''
end
redis.call('PERSIST', key)
redis.call('HDEL', key, 'token', 'ended_ms')
redis.call('HSET', key, 'state', 'pending', 'attempts', '0')
local owner, record = owner_of(ARGV[1]), fields_of(key, 'url', 'data')
make_room('zset', 'callbacks:ended:' .. owner)
redis.call('ZREM', 'callbacks:ended:' .. owner, ARGV[1])
count_open(ARGV[1], owner, bytes_of(record[1] or '', record[2] or ''))
schedule(ARGV[1], owner, now)
return state
