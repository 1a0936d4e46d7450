-- Cancels a job in any state. A running worker notices at its next heartbeat.
-- ARGV: songhash
-- Returns the previous state ('unknown': no such job); 'queued' and 'running' are cancelled now.
local songhash = ARGV[1]
local state = fields_of(job_key(songhash), 'state')[1]
local listed = redis.call('LPOS', waiting, songhash)
local ended = state == 'done' or state == 'failed' or state == 'cancelled'
if listed then
  redis.call('LREM', waiting, 0, songhash)
  leave_turn(songhash, false)
end
if state == 'running' or state == 'queued' then
  end_job(songhash, 'cancelled', {})
elseif not ended and (listed or redis.call('ZSCORE', leases, songhash)) then
  end_job(songhash, 'cancelled', {})  -- pushed by hand, or its record is damaged
  return 'queued'
end
return state or 'unknown'
