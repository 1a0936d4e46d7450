-- Stops a job wherever it is. A worker in mid-run learns it at its next heartbeat: the job is no longer its own.
-- ARGV: songhash
-- Returns the state found ('unknown': no such job); 'queued' and 'running' are cancelled now.
local songhash = ARGV[1]
local state = redis.call('HGET', job_key(songhash), 'state')
local listed = redis.call('LREM', waiting, 0, songhash)
if state == 'queued' or state == 'running' or (listed > 0 and not state) then
  end_job(songhash, 'cancelled', {})
  return state or 'queued'
end
return state or 'unknown'
