-- Takes back what was last heard of too long ago: to the head of the list (it has waited its turn), or, with its
-- attempts used up, to the dead.
-- ARGV: attempts limit, lease ms, error JSON of a job that lost its worker too often, error JSON of a job whose record
-- is damaged
-- Returns {songhash, 'queued' or 'failed', ...}.
local limit, lease_ms = tonumber(ARGV[1]), tonumber(ARGV[2])
local LONGEST_LEASE_MS = 24 * 3600 * 1000
local reaped = {}

-- Of an entry in work whose record does not say `running`: no script leaves one behind, somebody's hand may.
local function leave_work_as(songhash, state)
  if state == 'queued' and not redis.call('LPOS', waiting, songhash) then
    requeue(songhash, 'LPUSH')
  elseif not STATES[state] and is_songhash(songhash) then  -- its record was deleted, or is damaged
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

-- No lease is that long: a clock was put back, or somebody's hand was at work. It runs out like any other.
for _, songhash in ipairs(redis.call('ZRANGEBYSCORE', leases, ms_text(now + lease_ms + LONGEST_LEASE_MS), '+inf',
  'LIMIT', '0', '100')) do
  redis.call('ZADD', leases, ms_text(now + lease_ms), songhash)
end

-- Claimed but without a lease: no script leaves that, a deleted zset does. A lease from now on brings it back.
-- Counted first: every part runs this twice a second, and a thousand jobs in work need no looking through.
if redis.call('LLEN', processing) > redis.call('ZCARD', leases) then
  for _, songhash in ipairs(redis.call('LRANGE', processing, 0, 999)) do
    redis.call('ZADD', leases, 'NX', ms_text(now + lease_ms), songhash)
  end
end
return reaped
