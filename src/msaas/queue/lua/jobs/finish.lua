-- Ends a successful job. Its stems are already stored, so clients can read them as soon as it is done.
-- ARGV: songhash, fence, result JSON, seconds of audio that the run counts as
-- Returns 1, or 0 if the fence is old (nothing changes).
local songhash, fence = ARGV[1], ARGV[2]
if not owns(songhash, fence) then
  return 0
end
local audio_seconds = tonumber(ARGV[4]) or 0
local started = tonumber(redis.call('HGET', job_key(songhash), 'started_ms') or now) or now
local seconds = (now - started) / 1000

local function usable(value)
  return value ~= nil and value >= 0 and value < 1e9
end

-- Moving averages, a fifth from each new job: ETAs adapt to another machine within a few songs.
local function average(field, value)
  local before = tonumber(fields_of(pace, field)[1] or value)
  before = usable(before) and before or value
  write_fields(pace, field, string.format('%.4f', before + (value - before) / 5))
end

-- Seconds of work over seconds of audio, both as fading sums, so that songs weigh by their length: an average of ratios
-- would let a clip, which is all overhead, count as much as an album.
local function faded_sum(field, value)
  local before = tonumber(fields_of(pace, field)[1] or 0)
  local sum = (usable(before) and before or 0) * 4 / 5 + value
  write_fields(pace, field, string.format('%.4f', sum))
  return sum
end

local function note_run(suffix)
  if not usable(seconds) then
    return
  end
  average('seconds_per_job' .. suffix, seconds)
  if usable(audio_seconds) and audio_seconds > 0 then
    local rate = faded_sum('run_seconds' .. suffix, seconds) / faded_sum('audio_seconds' .. suffix, audio_seconds)
    write_fields(pace, 'seconds_per_audio_second' .. suffix, string.format('%.6f', rate))
  end
end
note_run('')
local name = run_name(songhash)
if name then
  note_run(':' .. name)
end

redis.call('HDEL', job_key(songhash), 'error')
end_job(songhash, 'done', {'progress', '1', 'result', ARGV[3]})
return 1
