-- Sliding windows and the day's audio. jobs/common.lua settles a song's charge when the job ends.
--
-- quota:<account>:posts, :calls   hash  slice of the window > number; 60 slices of a second
-- quota:<account>:audio           hash  slice of the window > seconds of audio; 96 slices of 15 minutes
-- quota:<account>:open            hash  songhash > slice and seconds charged, for songs that have not ended, whose true
--                                       length is not known yet
local AUDIO_SLICES, AUDIO_SLICE_MS = 96, 900000
local OPEN_REMEMBERED_MS = 7 * 24 * 3600 * 1000

-- A slice or an amount as number; nil if invalid, so that damaged values are dropped and no sum fails.
local function amount_of(text)
  local amount = tonumber(text)
  return amount and math.abs(amount) < 1e12 and math.floor(amount) == amount and amount or nil
end

-- The amount used in the window, and the amounts by slice, oldest first. Deletes slices outside the window.
local function window_used(key, slices, slice_ms, now_ms)
  make_room('hash', key)
  local first = math.floor(now_ms / slice_ms) - slices + 1
  local all, kept, used = redis.call('HGETALL', key), {}, 0
  for i = 1, #all, 2 do
    local slice, amount = amount_of(all[i]), amount_of(all[i + 1])
    if not slice or not amount or slice < first then
      redis.call('HDEL', key, all[i])
    else
      used = used + amount
      kept[#kept + 1] = {slice, amount}
    end
  end
  table.sort(kept, function(a, b) return a[1] < b[1] end)
  return used, kept
end

-- Whole seconds until `amount` of the usage has left the window; the whole window if that is not enough.
local function window_wait(kept, amount, slices, slice_ms, now_ms)
  for _, slice in ipairs(kept) do
    amount = amount - slice[2]
    if amount <= 0 then
      return math.max(1, math.ceil(((slice[1] + slices) * slice_ms - now_ms) / 1000))
    end
  end
  return slices * slice_ms / 1000
end

local function window_add(key, slices, slice_ms, slice, amount)
  local field = string.format('%d', slice)
  local before = amount_of(fields_of(key, field)[1] or 0) or 0
  write_fields(key, field, string.format('%d', before + amount))
  redis.call('PEXPIRE', key, (slices + 1) * slice_ms)
end

local function open_key(account)
  return 'quota:' .. account .. ':open'
end

-- Whether one more song may be open. First removes songs whose records were deleted by hand.
local function open_song_fits(account, most)
  local open = open_key(account)
  if type_of(open) ~= 'hash' or redis.call('HLEN', open) < most then
    return true
  end
  for _, songhash in ipairs(redis.call('HRANDFIELD', open, 20)) do
    local state = fields_of('job:' .. songhash, 'state')[1]
    if state ~= 'queued' and state ~= 'running' then
      redis.call('HDEL', open, songhash)
    end
  end
  return redis.call('HLEN', open) < most
end

local function reserved_by(account)
  local open, sum = open_key(account), 0
  if type_of(open) == 'hash' then
    for _, text in ipairs(redis.call('HVALS', open)) do
      sum = sum + (amount_of(string.match(text, '^%d+ (%d+)$')) or 0)
    end
  end
  return sum
end

-- Seconds until the account has room for the audio, 0 if it has now; the seconds left of the day; and, without room,
-- whether there would be room if the account's open songs had no length.
local RESERVED_SECONDS = 30
local function audio_room(account, seconds, limit, now_ms)
  local used, kept = window_used('quota:' .. account .. ':audio', AUDIO_SLICES, AUDIO_SLICE_MS, now_ms)
  local over = used + math.max(seconds, 1) - limit
  local left = math.max(0, limit - used)
  if over <= 0 then
    return 0, left, false
  end
  if over <= reserved_by(account) then
    return RESERVED_SECONDS, left, true
  end
  return window_wait(kept, over, AUDIO_SLICES, AUDIO_SLICE_MS, now_ms), left, false
end

-- Charges the most that a song's bytes can hold until it ends, since files can declare a wrong length.
local function charge_song(account, songhash, seconds, now_ms)
  local slice, open = math.floor(now_ms / AUDIO_SLICE_MS), open_key(account)
  if seconds > 0 then
    window_add('quota:' .. account .. ':audio', AUDIO_SLICES, AUDIO_SLICE_MS, slice, seconds)
  end
  write_fields(open, songhash, string.format('%d %d', slice, seconds))
  redis.call('PEXPIRE', open, OPEN_REMEMBERED_MS)
end

-- Settles an ended song's charge at its cost in seconds (nil: unknown, the charge stays): refunds the difference, or
-- charges it if the cost may exceed the charge.
local function settle_song(account, songhash, seconds, may_exceed, now_ms)
  local open, audio = open_key(account), 'quota:' .. account .. ':audio'
  local slice, charged = string.match(fields_of(open, songhash)[1] or '', '^(%d+) (%d+)$')
  if not slice then
    return
  end
  redis.call('HDEL', open, songhash)
  local more = seconds and amount_of(math.ceil(seconds) - tonumber(charged))
  if not more or tonumber(charged) == 0 or (more > 0 and not may_exceed) then  -- 0: no limit was set when it was posted
    return
  end
  make_room('hash', audio)
  if more > 0 then
    window_add(audio, AUDIO_SLICES, AUDIO_SLICE_MS, math.floor(now_ms / AUDIO_SLICE_MS), more)
  elseif more < 0 and amount_of(redis.call('HGET', audio, slice)) then
    redis.call('HINCRBY', audio, slice, more)
  end
end
