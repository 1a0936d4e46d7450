-- Makes a song a job, unless it is one already. Record and list entry are written together.
-- ARGV: songhash, '1' if a done job's stems are no longer whole, then field, value, ... of the new record
-- Returns {'known', state} or {'queued', 'queued'}.
local songhash, stems_missing = ARGV[1], ARGV[2] == '1'
local state = redis.call('HGET', job_key(songhash), 'state')
local waits = redis.call('LPOS', waiting, songhash)
local in_work = redis.call('ZSCORE', leases, songhash)

if state == 'done' and not stems_missing then
  return {'known', state}
end
-- A record that says queued or running while no list holds it (somebody deleted the list) is put right below.
if (state == 'queued' and waits) or (state == 'running' and in_work) then
  return {'known', state}
end

leave_work(songhash)
redis.call('LREM', dead, 0, songhash)
redis.call('DEL', job_key(songhash))
redis.call('HSET', job_key(songhash), 'state', 'queued', 'attempts', '0', 'progress', '0',
  'created_ms', ms_text(now), unpack(ARGV, 3))
if not waits then
  redis.call('RPUSH', waiting, songhash)
end
publish(songhash, 'queued', '', 0)
return {'queued', 'queued'}
