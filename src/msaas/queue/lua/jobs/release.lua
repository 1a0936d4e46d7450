-- Gives a job back unharmed (the worker has to stop): to the head of the list, the attempt not charged.
-- ARGV: songhash, fence
-- Returns 1, or 0 where the fence is old: nothing was changed.
local songhash, fence = ARGV[1], ARGV[2]
if not owns(songhash, fence) then
  return 0
end
local attempts = count_of(redis.call('HGET', job_key(songhash), 'attempts'))
redis.call('HSET', job_key(songhash), 'attempts', string.format('%d', math.max(attempts - 1, 0)))
requeue(songhash, 'LPUSH')
return 1
