-- Takes back what was last heard of too long ago: to the head of the list (it has waited its turn), or, with its
-- attempts used up, to the dead.
-- ARGV: attempts limit, lease ms, error JSON of a job that lost its worker too often
-- Returns {songhash, 'queued' or 'failed', ...}.
local limit, lease_ms = tonumber(ARGV[1]), tonumber(ARGV[2])
local reaped = {}

for _, songhash in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', ms_text(now), 'LIMIT', 0, 100)) do
  local record = redis.call('HMGET', job_key(songhash), 'state', 'attempts')
  local outcome = 'queued'
  if record[1] ~= 'running' then
    leave_work(songhash)
    outcome = record[1] or 'unknown'
  elseif tonumber(record[2] or 0) < limit then
    requeue(songhash, 'LPUSH')
  else
    bury(songhash, ARGV[3])
    outcome = 'failed'
  end
  table.insert(reaped, songhash)
  table.insert(reaped, outcome)
end

-- Claimed but without a lease: no script leaves that, a deleted zset does. A lease from now on brings it back.
-- Counted first: every part runs this twice a second, and a thousand jobs in work need no looking through.
if redis.call('LLEN', processing) > redis.call('ZCARD', leases) then
  for _, songhash in ipairs(redis.call('LRANGE', processing, 0, 999)) do
    redis.call('ZADD', leases, 'NX', ms_text(now + lease_ms), songhash)
  end
end
return reaped
