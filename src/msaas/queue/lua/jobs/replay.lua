-- Queues a dead job again: the same record, no attempts used, at the end of the list.
-- ARGV: songhash
-- Returns 1, or 0 if it is not dead (nothing changes).
local songhash = ARGV[1]
local key = job_key(songhash)
if fields_of(key, 'state')[1] ~= 'failed' or redis.call('LREM', dead, 0, songhash) == 0 then
  return 0
end
redis.call('HDEL', key, 'error', 'result', 'finished_ms')
redis.call('HSET', key, 'attempts', '0')
redis.call('LREM', waiting, 0, songhash)
leave_turn(songhash, false)
requeue(songhash, 'RPUSH')
return 1
