-- Takes the first song that this worker can run, under a lease and a new fence. Songs of other models stay where they
-- are. The attempt counts from here, so that a run that crashes its whole machine counts too.
-- ARGV: worker, lease ms, attempt limit, error JSON of a job over the limit, error JSON of a job whose record has
-- another type than a hash, index to start at, then the models that the worker runs (none: any)
-- Returns {songhash, fence, field, value, ...}; an empty list if no song for this worker waits; {'', index} after
-- examining the maximum number of entries: the next call starts there.
local worker, lease_ms, limit = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local at = tonumber(ARGV[6])
local runs = {}
for i = 7, #ARGV do
  runs[ARGV[i]] = true
end

-- A job pushed by hand has no model: each worker uses its default.
local function is_for_others(model)
  return #ARGV > 6 and model and model ~= '' and not runs[model]
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

local function start(entry, songhash, attempts)
  local key, fence = job_key(songhash), next_fence()
  write_fields(key, 'attempts', string.format('%d', attempts + 1), 'state', 'running', 'fence', fence, 'worker', worker,
    'stage', 'starting', 'progress', '0', 'started_ms', ms_text(now))
  take_out(entry)
  redis.call('RPUSH', processing, songhash)
  redis.call('ZADD', leases, ms_text(now + lease_ms), songhash)
  leave_turn(songhash, true)
  publish(songhash, 'running', 'starting', 0)
  return append_fields({songhash, fence}, key)
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
  elseif is_for_others(fields_of(key, 'model')[1]) then
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
      return start(entry, songhash, attempts)
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
