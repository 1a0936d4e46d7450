-- Takes the first song that this worker can run, under a lease and a new fence, or soon after it one of a model that it
-- has loaded. Songs of models that it does not run stay where they are. The attempt counts from here, so that a run
-- that crashes its whole machine counts too.
-- ARGV: worker, lease ms, attempt limit, error JSON of a job over the limit, error JSON of a job whose record has
-- another type than a hash, index to start at, how many songs of loaded models may overtake a song (0: none), number of
-- models that the worker runs (0: any), these models, then those that it has loaded
-- Returns {songhash, fence, field, value, ...}; an empty list if no song for this worker waits; {'', index} after
-- examining the maximum number of entries: the next call starts there.
local worker, lease_ms, limit = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local at, most_overtaking, run_count = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local runs, loaded = {}, {}
for i = 9, #ARGV do
  local models = i < 9 + run_count and runs or loaded
  models[ARGV[i]] = true
end
local LOOK_AHEAD = 64  -- entries behind the first song in which one of a loaded model is looked for

-- Whether a model that refines a stem, by the options of the record, is one that this worker does not run.
local function refined_by_others(options)
  for _, model in ipairs(refining_models(options)) do
    if not runs[model] then
      return true
    end
  end
  return false
end

-- A job pushed by hand has no model: each worker uses its default.
local function is_for_others(model, options)
  return run_count > 0 and model and model ~= '' and (not runs[model] or refined_by_others(options))
end

-- One counter for all jobs; no fence is used twice. A damaged counter restarts from the clock, in microseconds, which
-- is higher than any number of claims.
local function next_fence()
  local counted = redis.pcall('INCR', fence_counter)
  if type(counted) == 'number' then
    return ms_text(counted)
  end
  local fresh = string.format('%d', clock[1] * 1e6 + clock[2])
  redis.call('SET', fence_counter, fresh)
  return fresh
end

-- Of equal entries the first can be removed: all would be treated alike.
local function take_out(entry)
  redis.call('LREM', waiting, 1, entry)
end

-- `overtakes`: songs before it stay. The list has not reached its turn then.
local function start(entry, songhash, attempts, overtakes)
  local key, fence = job_key(songhash), next_fence()
  write_fields(key, 'attempts', string.format('%d', attempts + 1), 'state', 'running', 'fence', fence, 'worker', worker,
    'stage', 'starting', 'progress', '0', 'started_ms', ms_text(now))
  take_out(entry)
  redis.call('RPUSH', processing, songhash)
  redis.call('ZADD', leases, ms_text(now + lease_ms), songhash)
  leave_turn(songhash, not overtakes)
  redis.call('HDEL', key, 'overtaken')
  publish(songhash, 'running', 'starting', 0)
  return append_fields({songhash, fence}, key)
end

-- What decides whether a waiting song may overtake or be overtaken. nil: no song of this worker's. false: its, but one
-- pushed by hand, which is not overtaken, since its record cannot count how often.
local function facts_of(entry)
  local songhash = string.lower(entry)
  local kind = type_of(job_key(songhash))
  if not is_songhash(entry) or redis.call('ZSCORE', leases, songhash) or (kind ~= 'hash' and kind ~= 'none') then
    return nil
  end
  local record = fields_of(job_key(songhash), 'state', 'model', 'attempts', 'overtaken', 'tenant', 'options')
  local attempts = count_of(record[3])
  if is_for_others(record[2], record[6]) or (record[1] == 'queued' and attempts >= limit) then
    return nil
  end
  if record[1] ~= 'queued' or not record[2] or record[2] == '' then
    return false
  end
  local score = type_of(order) == 'zset' and redis.call('ZSCORE', order, songhash)
  return {
    entry = entry, songhash = songhash, attempts = attempts, loaded = loaded[record[2]], overtaken = count_of(record[4]),
    tenant = record[5] or '', turn = score and math.floor(tonumber(score)) or -1,
  }
end

-- A song never overtakes another tenant's song of an earlier turn, nor one of low priority a song that is not.
local function may_overtake(song, passed)
  for _, other in ipairs(passed) do
    local lower = song.turn >= LOW and other.turn < LOW
    if lower or (other.tenant ~= song.tenant and other.turn ~= song.turn) then
      return false
    end
  end
  return true
end

-- The next song of a loaded model, and the songs that it overtakes, the first of the list among them. nil if there is
-- none, or if it would overtake one that was overtaken as often as allowed.
local function next_of_a_loaded_model()
  local passed = {}
  for _, entry in ipairs(redis.call('LRANGE', waiting, at, at + LOOK_AHEAD)) do
    local song = facts_of(entry)
    if song and song.loaded and may_overtake(song, passed) then
      return song, passed
    elseif song == false or (song and song.overtaken >= most_overtaking) then
      return nil
    elseif song then
      passed[#passed + 1] = song
    end
  end
  return nil
end

-- Starts the first song, or the next one of a loaded model: loading another takes seconds.
local function start_preferred(entry, songhash, attempts)
  local song, passed
  if most_overtaking > 0 and next(loaded) then
    song, passed = next_of_a_loaded_model()
  end
  if not song then
    return start(entry, songhash, attempts, false)
  end
  for _, other in ipairs(passed) do
    redis.call('HSET', job_key(other.songhash), 'overtaken', string.format('%d', other.overtaken + 1))
  end
  return start(song.entry, song.songhash, song.attempts, #passed > 0)
end

-- Bounded, since a script blocks all of Redis: after a thousand skipped entries the next call continues.
for _ = 1, 1000 do
  local entry = redis.call('LINDEX', waiting, at)
  if not entry then
    return {}
  end
  local songhash = string.lower(entry)
  local key = job_key(songhash)
  local kind = type_of(key)
  local leave = false
  if not is_songhash(entry) then
    redis.call('RPUSH', dead, entry)
  elseif redis.call('ZSCORE', leases, songhash) then
    -- already running: a duplicate entry
  elseif kind ~= 'hash' and kind ~= 'none' then
    bury(songhash, ARGV[5])
  elseif is_for_others(unpack(fields_of(key, 'model', 'options'))) then
    leave = true
  else
    local record = fields_of(key, 'state', 'attempts')
    local attempts = count_of(record[2])
    if record[1] ~= 'queued' then
      -- Pushed by hand, without a record or with one that has ended: starts as a new job.
      attempts = 0
      redis.call('HDEL', key, 'error', 'result', 'finished_ms')
      redis.call('HSET', key, 'attempts', '0', 'created_ms', ms_text(now))
      redis.call('LREM', dead, 0, songhash)
    end
    if attempts < limit then
      return start_preferred(entry, songhash, attempts)
    end
    bury(songhash, ARGV[4])
  end
  if leave then
    at = at + 1
  else
    take_out(entry)
    leave_turn(songhash, false)
  end
end
return {'', tostring(at)}
