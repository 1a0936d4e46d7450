-- Puts a job right whose record and lists disagree. No script leaves one so; a list that somebody deleted does.
-- ARGV: songhash, lease ms, error JSON of a job whose record is damaged
-- Returns what it is now ('queued', 'running', 'failed'), or '' where nothing was wrong and nothing was changed.
local songhash, lease_ms = ARGV[1], tonumber(ARGV[2])
local state = fields_of(job_key(songhash), 'state')[1]
local known = is_songhash(songhash) and type_of(job_key(songhash)) ~= 'none'
if not known or redis.call('ZSCORE', leases, songhash) or redis.call('LPOS', waiting, songhash) then
  return ''
end
if state == 'queued' then
  requeue(songhash, 'LPUSH')
  return 'queued'
end
if state == 'running' then  -- its worker, if it lives, renews the lease; otherwise the job is reaped when it runs out
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
