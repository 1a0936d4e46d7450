-- Ends a batch, which waits in a list of its own until its songs have ended. Its callback is due.
-- ARGV: batch, state, result JSON
-- Returns 1, or 0 if it has ended already (nothing changes, but it is taken off the list).
local batch, state = ARGV[1], ARGV[2]
if redis.call('LPOS', waiting, batch) then
  redis.call('LREM', waiting, 0, batch)
  leave_turn(batch, false)
end
if fields_of(job_key(batch), 'state')[1] ~= 'queued' then
  return 0
end
end_job(batch, state, {'progress', '1', 'result', ARGV[3]})
return 1
