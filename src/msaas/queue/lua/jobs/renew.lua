-- Renews a job's lease and records progress.
-- ARGV: songhash, fence, lease ms, then field, value, ... for the record
-- Returns 'kept', or the state of the job if it is no longer this worker's ('unknown': no record).
local songhash, fence, lease_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])
if not owns(songhash, fence) then
  return fields_of(job_key(songhash), 'state')[1] or 'unknown'
end
local fresh = redis.call('ZADD', leases, ms_text(now + lease_ms), songhash) == 1
if fresh and not redis.call('LPOS', processing, songhash) then  -- both were deleted by hand
  redis.call('RPUSH', processing, songhash)
end
if #ARGV > 3 then
  redis.call('HSET', job_key(songhash), unpack(ARGV, 4))
  local seen = redis.call('HMGET', job_key(songhash), 'stage', 'progress')
  publish(songhash, 'running', seen[1], seen[2])
end
return 'kept'
