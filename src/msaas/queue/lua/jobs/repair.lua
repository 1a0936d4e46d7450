-- Repairs a job whose record and lists disagree. No script causes this; a list deleted by hand does.
-- ARGV: songhash, lease ms, error JSON of a job whose record is damaged
-- Returns the new state ('queued', 'running', 'failed'), or '' if nothing was wrong (nothing changes).
local songhash, lease_ms = ARGV[1], tonumber(ARGV[2])
local state = fields_of(job_key(songhash), 'state')[1]
-- 'list': the name of the list of songs to fetch, in the records of provisional jobs
if (fields_of(job_key(songhash), 'list')[1] or 'toWorkers') ~= waiting then
  return ''
end
local known = is_songhash(songhash) and type_of(job_key(songhash)) ~= 'none'
if not known or redis.call('ZSCORE', leases, songhash) or redis.call('LPOS', waiting, songhash) then
  return ''
end
if state == 'queued' then
  requeue(songhash, 'LPUSH')
  return 'queued'
end
-- its worker, if alive, renews the lease; otherwise the job is reaped when the lease expires
if state == 'running' then
  redis.call('ZADD', leases, ms_text(now + lease_ms), songhash)
  if not redis.call('LPOS', processing, songhash) then
    redis.call('RPUSH', processing, songhash)
  end
  return 'running'
end
if not STATES[state] then
  bury(songhash, ARGV[3])
  return 'failed'
end
return ''
