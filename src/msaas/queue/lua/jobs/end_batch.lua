-- Ends a batch, which waits in a list of its own until its songs have ended. Its callback is due.
-- ARGV: batch, state, result JSON. A batch that is being cancelled ends as cancelled in any case.
-- Returns 1, or 0 if it has ended already (nothing changes, but it is taken off the list).
local batch, state = ARGV[1], ARGV[2]
if redis.call('LPOS', waiting, batch) then
  redis.call('LREM', waiting, 0, batch)
  leave_turn(batch, false)
end
local found = fields_of(job_key(batch), 'state', 'cancelling')
if found[1] ~= 'queued' then
  return 0
end
if found[2] == '1' then
  state = 'cancelled'
end
end_job(batch, state, {'progress', '1', 'result', ARGV[3]})
return 1
