-- Makes a song a job, unless it is one already. Record, list entry, callback and charge are written together.
-- ARGV: songhash, '1' if a done job's stems are no longer whole, then the callback: id ('' for none), digest, url, data,
-- origin; then how many may wait (0: any number), the account that posts, how many of its songs may be open (0: any
-- number), the seconds of audio that this one says it has, the most it can have, and the account's limit (0: none); then
-- field, value, ... of the new record
-- Returns {'known', state}, {'queued', 'queued'}; or {'full', ''} where too many callbacks wait for the song already,
-- {'heavy', ''} where the account's callbacks take too much room, {'crowded', ''} where too many songs wait, {'greedy',
-- ''} where too many of the account's are open, {'over', seconds to wait} where it has used up its day, {'reserved',
-- seconds to wait} where its open songs may use it up: nothing was changed then.
local songhash, stems_missing = ARGV[1], ARGV[2] == '1'
local callback, digest, url, data, origin = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local most_waiting, account = tonumber(ARGV[8]), ARGV[9]
local most_open, audio_seconds = tonumber(ARGV[10]), tonumber(ARGV[11])
local audio_most, audio_limit = tonumber(ARGV[12]), tonumber(ARGV[13])
local state = fields_of(job_key(songhash), 'state')[1]
local waits = redis.call('LPOS', waiting, songhash)
local in_work = redis.call('ZSCORE', leases, songhash)

-- `ended`: there is no end to wait for, the call is due now.
local function call_when_over(ended)
  if callback ~= '' then
    note_callback(songhash, callback, digest, url, data, origin, account, ended, now)
  end
end

local over = state == 'done' and not stems_missing
local refusal = callback == '' and '' or callback_refusal(songhash, digest, url, data, account, over)
if refusal ~= '' then
  return {refusal, ''}
end
if over then
  call_when_over(true)
  return {'known', state}
end
-- A record that says queued or running while no list holds it (somebody deleted the list) is put right below.
if (state == 'queued' and waits) or (state == 'running' and in_work) then
  call_when_over(false)
  return {'known', state}
end
if most_waiting > 0 and not waits and redis.call('LLEN', waiting) >= most_waiting then
  return {'crowded', ''}
end
-- What is only put right was charged when it came.
local payer = account
if state == 'queued' or state == 'running' then
  payer = fields_of(job_key(songhash), 'account')[1] or ''
elseif account ~= '' then
  if most_open > 0 and not open_song_fits(account, most_open) then
    return {'greedy', ''}
  end
  local charge = 0
  if audio_limit > 0 then
    local wait, left, reserved = audio_room(account, audio_seconds, audio_limit, now)
    if wait > 0 then
      return {reserved and 'reserved' or 'over', tostring(wait)}
    end
    charge = math.min(math.max(audio_seconds, audio_most), left)
  end
  charge_song(account, songhash, charge, now)
end
call_when_over(false)

leave_work(songhash)
if state == 'failed' then  -- the only ones among them: a hundred thousand dead need no looking through for each song
  redis.call('LREM', dead, 0, songhash)
end
redis.call('DEL', job_key(songhash))
redis.call('HSET', job_key(songhash), 'state', 'queued', 'attempts', '0', 'progress', '0',
  'created_ms', ms_text(now), unpack(ARGV, 14))
if payer ~= '' then
  redis.call('HSET', job_key(songhash), 'account', payer)
end
if not waits then
  take_turn(waiting, songhash)
end
publish(songhash, 'queued', '', 0)
return {'queued', 'queued'}
