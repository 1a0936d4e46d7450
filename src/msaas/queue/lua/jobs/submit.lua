-- Queues a song, unless it is known. Record, list entry, callback and charge are written together.
-- ARGV: songhash, '1' if a done job's stems are incomplete, then the callback: id ('' for none), digest, url, data,
-- origin; then the limit of waiting songs (0: none), the posting account, the limit of its open songs (0: none), the
-- declared seconds of audio, the maximum seconds, and the account's audio limit (0: none); then field, value, ... of the
-- new record
-- A waiting song of low priority moves to the others if this post is not of low priority.
-- Returns {'known', state} or {'queued', 'queued'}; or, with nothing changed: {'full', ''} if too many callbacks wait for
-- the song, {'heavy', ''} if the account's callbacks take too much space, {'crowded', ''} if too many songs wait,
-- {'greedy', ''} if the account has too many open songs, {'over', seconds to wait} if its day is used up, {'reserved',
-- seconds to wait} if its open songs may use it up.
local songhash, stems_missing = ARGV[1], ARGV[2] == '1'
local callback, digest, url, data, origin = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local max_waiting, account = tonumber(ARGV[8]), ARGV[9]
local max_open, audio_seconds = tonumber(ARGV[10]), tonumber(ARGV[11])
local audio_most, audio_limit = tonumber(ARGV[12]), tonumber(ARGV[13])
local state = fields_of(job_key(songhash), 'state')[1]
local waits = redis.call('LPOS', waiting, songhash)
local in_work = redis.call('ZSCORE', leases, songhash)

-- `ended`: the callback is due now.
local function call_when_over(ended)
  if callback ~= '' then
    note_callback(songhash, callback, digest, url, data, origin, account, ended, now)
  end
end

local function posted_priority()
  for i = 14, #ARGV, 2 do
    if ARGV[i] == 'priority' then
      return ARGV[i + 1]
    end
  end
  return ''
end

local over = state == 'done' and not stems_missing
local refusal = callback == '' and '' or callback_refusal(songhash, digest, url, data, account, over)
if refusal ~= '' then
  return {refusal, ''}
end
if over then
  redis.call('HDEL', job_key(songhash), 'removed')  -- they were put back
  call_when_over(true)
  return {'known', state}
end
-- A record that says queued or running without a list entry (a list was deleted by hand) is repaired below.
if state == 'queued' and waits and is_low(songhash) and posted_priority() ~= 'low' then
  redis.call('LREM', waiting, 0, songhash)
  leave_turn(songhash, false)
  redis.call('HDEL', job_key(songhash), 'priority')
  take_turn(waiting, songhash)
end
if (state == 'queued' and waits) or (state == 'running' and in_work) then
  call_when_over(false)
  return {'known', state}
end
if max_waiting > 0 and not waits and redis.call('LLEN', waiting) >= max_waiting then
  return {'crowded', ''}
end
-- A repaired job was charged when it was posted.
local payer = account
if state == 'queued' or state == 'running' then
  payer = fields_of(job_key(songhash), 'account')[1] or ''
elseif account ~= '' then
  if max_open > 0 and not open_song_fits(account, max_open) then
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
-- only failed jobs are in it: a hundred thousand dead entries need not be searched for each song
if state == 'failed' then
  redis.call('LREM', dead, 0, songhash)
end
redis.call('DEL', job_key(songhash))
redis.call('HSET', job_key(songhash), 'state', 'queued', 'attempts', '0', 'progress', '0',
  'created_ms', ms_text(now), unpack(ARGV, 14))
if payer ~= '' then
  redis.call('HSET', job_key(songhash), 'account', payer)
end
list_song(songhash)
if not waits then
  take_turn(waiting, songhash)
end
publish(songhash, 'queued', '', 0)
return {'queued', 'queued'}
