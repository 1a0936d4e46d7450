-- Sliding windows and the day's audio. Put behind types.lua, before submit.lua here, take.lua and room.lua.
--
-- quota:<account>:posts, :calls   hash  slice of the window > how many; slices of a second, 60 of them
-- quota:<account>:audio           hash  slice of the window > seconds of audio; slices of a quarter of an hour, 96
-- quota:<account>:open            hash  songhash > slice and seconds charged, of songs whose true length is not known yet
local AUDIO_SLICES, AUDIO_SLICE_MS = 96, 900000
local OPEN_REMEMBERED_MS = 7 * 24 * 3600 * 1000

-- A slice or an amount as text: nil where it is none, so that a damaged one is dropped and no sum fails.
local function amount_of(text)
  local amount = tonumber(text)
  return amount and math.abs(amount) < 1e12 and math.floor(amount) == amount and amount or nil
end

-- What was used, and by slice, the oldest first. What has left the window is deleted.
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

-- Whole seconds until `amount` of what was used has left the window; the whole window where that is never enough.
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

-- A song is charged as long as its file says it is. Files lie, and some say nothing: once it is decoded, the
-- difference is charged too, or given back. Done here, as the account is looked at, so that no worker has to.
local function settle_audio(account, now_ms)
  local open = 'quota:' .. account .. ':open'
  local audio = 'quota:' .. account .. ':audio'
  make_room('hash', open)
  local all = redis.call('HGETALL', open)
  for i = 1, #all, 2 do
    local record = fields_of('job:' .. all[i], 'state', 'result')
    if record[1] ~= 'queued' and record[1] ~= 'running' then
      redis.call('HDEL', open, all[i])
    end
    local told, result = pcall(cjson.decode, record[1] == 'done' and record[2] or '')
    local seconds = told and type(result) == 'table' and tonumber(result.duration_seconds)
    local slice, charged = string.match(all[i + 1], '^(%d+) (%d+)$')
    local more = seconds and slice and amount_of(math.ceil(seconds) - tonumber(charged))
    if more then
      if more > 0 then
        window_add(audio, AUDIO_SLICES, AUDIO_SLICE_MS, math.floor(now_ms / AUDIO_SLICE_MS), more)
      elseif redis.call('HEXISTS', audio, slice) == 1 then
        redis.call('HINCRBY', audio, slice, more)
      end
    end
  end
end

-- Seconds until the account has room for so much audio, 0 where it has now; and how much is left of the day.
local function audio_room(account, seconds, limit, now_ms)
  window_used('quota:' .. account .. ':audio', AUDIO_SLICES, AUDIO_SLICE_MS, now_ms)  -- drops what is damaged
  settle_audio(account, now_ms)
  local used, kept = window_used('quota:' .. account .. ':audio', AUDIO_SLICES, AUDIO_SLICE_MS, now_ms)
  local over = used + math.max(seconds, 1) - limit
  local wait = over > 0 and window_wait(kept, over, AUDIO_SLICES, AUDIO_SLICE_MS, now_ms) or 0
  return wait, math.max(0, limit - used)
end

local function charge_audio(account, songhash, seconds, now_ms)
  local slice = math.floor(now_ms / AUDIO_SLICE_MS)
  window_add('quota:' .. account .. ':audio', AUDIO_SLICES, AUDIO_SLICE_MS, slice, seconds)
  local open = 'quota:' .. account .. ':open'
  redis.call('HSET', open, songhash, string.format('%d %d', slice, seconds))
  redis.call('PEXPIRE', open, OPEN_REMEMBERED_MS)
end
