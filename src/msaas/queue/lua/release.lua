-- Gives a job back unharmed (the worker has to stop): to the head of the list, the attempt not charged.
-- ARGV: songhash, fence
-- Returns 1, or 0 where the fence is old: nothing was changed.
local songhash, fence = ARGV[1], ARGV[2]
if not owns(songhash, fence) then
  return 0
end
redis.call('HINCRBY', job_key(songhash), 'attempts', -1)
requeue(songhash, 'LPUSH')
return 1
