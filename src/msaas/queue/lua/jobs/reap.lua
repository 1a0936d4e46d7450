-- Requeues jobs whose lease has expired: to the head of the list, since they have waited their turn, or to the dead
-- jobs if no attempts are left.
-- ARGV: attempt limit, lease ms, error JSON of a job that lost its worker too often, error JSON of a job whose record
-- is damaged
-- Returns {songhash, 'queued' or 'failed', ...}.
local limit, lease_ms = tonumber(ARGV[1]), tonumber(ARGV[2])
local LONGEST_LEASE_MS = 24 * 3600 * 1000
local reaped = {}

-- For a running entry whose record is not `running`: no script causes this, manual changes may.
local function leave_work_as(songhash, state)
  if state == 'queued' and not redis.call('LPOS', waiting, songhash) then
    requeue(songhash, 'LPUSH')
  elseif not STATES[state] and is_songhash(songhash) then  -- its record was deleted or is damaged
    bury(songhash, ARGV[4])
    return 'failed'
  else
    leave_work(songhash)
  end
  return state or 'unknown'
end

for _, songhash in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', ms_text(now), 'LIMIT', 0, 100)) do
  local record = fields_of(job_key(songhash), 'state', 'attempts')
  local outcome = 'queued'
  if record[1] ~= 'running' then
    outcome = leave_work_as(songhash, record[1])
  elseif count_of(record[2]) < limit then
    requeue(songhash, 'LPUSH')
  else
    bury(songhash, ARGV[3])
    outcome = 'failed'
  end
  table.insert(reaped, songhash)
  table.insert(reaped, outcome)
end

-- No lease is that long: the clock was set back or changed by hand. It expires like any other.
for _, songhash in ipairs(redis.call('ZRANGEBYSCORE', leases, ms_text(now + lease_ms + LONGEST_LEASE_MS), '+inf',
  'LIMIT', '0', '100')) do
  redis.call('ZADD', leases, ms_text(now + lease_ms), songhash)
end

-- Claimed but without a lease: no script causes this, a deleted zset does. A new lease lets the job be reaped. Compares
-- the counts first: every process runs this twice a second.
if redis.call('LLEN', processing) > redis.call('ZCARD', leases) then
  for _, songhash in ipairs(redis.call('LRANGE', processing, 0, 999)) do
    redis.call('ZADD', leases, 'NX', ms_text(now + lease_ms), songhash)
  end
end
return reaped
