-- Makes a song a job, unless it is one already. Record, list entry, callback and charge are written together.
-- ARGV: songhash, '1' if a done job's stems are no longer whole, then the callback: id ('' for none), digest, url, data,
-- origin; then how many may wait (0: any number), the account to charge ('' for none), its seconds of audio and its
-- limit; then field, value, ... of the new record
-- Returns {'known', state}, {'queued', 'queued'}; or {'full', ''} where too many callbacks wait for the song already,
-- {'crowded', ''} where too many songs wait, {'over', seconds to wait} where the account has used up its day:
-- nothing was changed then.
local songhash, stems_missing = ARGV[1], ARGV[2] == '1'
local callback, digest, url, data, origin = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local most_waiting, account = tonumber(ARGV[8]), ARGV[9]
local audio_seconds, audio_limit = tonumber(ARGV[10]), tonumber(ARGV[11])
local state = fields_of(job_key(songhash), 'state')[1]
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
-- A record that says queued or running while no list holds it (somebody deleted the list) is put right below.
if (state == 'queued' and waits) or (state == 'running' and in_work) then
  call_when_over(false)
  return {'known', state}
end
if most_waiting > 0 and not waits and redis.call('LLEN', waiting) >= most_waiting then
  return {'crowded', ''}
end
-- what is only put right was charged when it came
local charged = account ~= '' and state ~= 'queued' and state ~= 'running'
if charged then
  local wait = audio_room(account, audio_seconds, audio_limit, now)
  if wait > 0 then
    return {'over', tostring(wait)}
  end
  charge_audio(account, songhash, audio_seconds, now)
end
call_when_over(false)

leave_work(songhash)
if state == 'failed' then  -- the only ones among them: a hundred thousand dead need no looking through for each song
  redis.call('LREM', dead, 0, songhash)
end
redis.call('DEL', job_key(songhash))
redis.call('HSET', job_key(songhash), 'state', 'queued', 'attempts', '0', 'progress', '0',
  'created_ms', ms_text(now), unpack(ARGV, 12))
if not waits then
  redis.call('RPUSH', waiting, songhash)
end
publish(songhash, 'queued', '', 0)
return {'queued', 'queued'}
