-- Gives a job back because the worker stops: to the head of the list, without charging the attempt.
-- ARGV: songhash, fence
-- Returns 1, or 0 if the fence is old (nothing changes).
local songhash, fence = ARGV[1], ARGV[2]
if not owns(songhash, fence) then
  return 0
end
local attempts = count_of(redis.call('HGET', job_key(songhash), 'attempts'))
redis.call('HSET', job_key(songhash), 'attempts', string.format('%d', math.max(attempts - 1, 0)))
requeue(songhash, 'LPUSH')
return 1
