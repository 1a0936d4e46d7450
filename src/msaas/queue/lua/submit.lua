-- Makes a song a job, unless it is one already. Record, list entry and callback are written together.
-- ARGV: songhash, '1' if a done job's stems are no longer whole, then the callback: id ('' for none), digest, url, data,
-- origin; then field, value, ... of the new record
-- Returns {'known', state}, {'queued', 'queued'}, or {'full', ''} where too many callbacks wait for the song already:
-- nothing was changed.
local songhash, stems_missing = ARGV[1], ARGV[2] == '1'
local callback, digest, url, data, origin = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local state = redis.call('HGET', job_key(songhash), 'state')
local waits = redis.call('LPOS', waiting, songhash)
local in_work = redis.call('ZSCORE', leases, songhash)

-- `ended`: there is no end to wait for, the call is due now.
local function call_when_over(ended)
  if callback ~= '' then
    note_callback(songhash, callback, digest, url, data, origin, ended, now)
  end
end

if state == 'done' and not stems_missing then
  call_when_over(true)
  return {'known', state}
end
if callback ~= '' and not callback_fits(songhash, digest) then
  return {'full', ''}
end
call_when_over(false)
-- A record that says queued or running while no list holds it (somebody deleted the list) is put right below.
if (state == 'queued' and waits) or (state == 'running' and in_work) then
  return {'known', state}
end

leave_work(songhash)
redis.call('LREM', dead, 0, songhash)
redis.call('DEL', job_key(songhash))
redis.call('HSET', job_key(songhash), 'state', 'queued', 'attempts', '0', 'progress', '0',
  'created_ms', ms_text(now), unpack(ARGV, 8))
if not waits then
  redis.call('RPUSH', waiting, songhash)
end
publish(songhash, 'queued', '', 0)
return {'queued', 'queued'}
