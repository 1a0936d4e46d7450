-- Concatenated before every script of jobs/: keys and functions that several scripts share.
--
-- KEYS[1] toWorkers             list  waiting songhashes, head first
-- KEYS[2] toWorkers:processing  list  claimed songhashes
-- KEYS[3] toWorkers:leases      zset  songhash > lease expiry, ms
-- KEYS[4] toWorkers:dead        list  dead jobs, and entries that are not UUIDs
-- KEYS[5] toWorkers:fence       counter, one for all jobs
-- KEYS[6] toWorkers:pace        hash  moving averages for ETAs, of all runs and, with :<run_name> after the field, by models
-- songs:<tenant>                zset  songhash > when it was posted, ms: what a tenant's list of songs is made of
-- mixes:<songhash>              set   the mixes of a song, which are deleted with it
-- job:<songhash>                hash  the record. The key is built from the songhash: Redis Cluster is not supported.
local waiting, processing, leases, dead, fence_counter, pace = unpack(KEYS)
expect('list', waiting)
expect('list', processing)
expect('zset', leases)
expect('list', dead)

local STATES = {queued = true, running = true, done = true, failed = true, cancelled = true}

local hex4 = '%x%x%x%x'
local uuid = '^' .. hex4 .. hex4 .. '%-' .. hex4 .. '%-' .. hex4 .. '%-' .. hex4 .. '%-' .. hex4 .. hex4 .. hex4 .. '$'

local function is_songhash(entry)
  return string.match(entry, uuid) ~= nil
end

local function job_key(songhash)
  return 'job:' .. songhash
end

-- The list is only a convenience: a failure to write it must not fail a move.
local function list_song(songhash)
  local tenant, mix_of = unpack(fields_of(job_key(songhash), 'tenant', 'mix_of'))
  if mix_of then
    redis.pcall('SADD', 'mixes:' .. mix_of, songhash)
  end
  if mix_of or waiting == 'batches' then  -- not a song
    return
  end
  redis.pcall('ZADD', 'songs:' .. (tenant or ''), ms_text(now), songhash)
end

-- Before its record is deleted, which has the tenant.
local function unlist_song(songhash)
  local tenant, mix_of = unpack(fields_of(job_key(songhash), 'tenant', 'mix_of'))
  redis.pcall('ZREM', 'songs:' .. (tenant or ''), songhash)
  if mix_of then
    redis.pcall('SREM', 'mixes:' .. mix_of, songhash)
  end
end

-- Events are only notifications: a failure to publish must not fail a move.
local function publish(songhash, state, stage, progress)
  local share = tonumber(progress) or 0
  if not (share >= 0 and share <= 1) then  -- JSON has no infinity
    share = 0
  end
  local event = {songhash = songhash, state = state, stage = stage or '', progress = share, at_ms = now}
  redis.pcall('PUBLISH', 'events', cjson.encode(event))
end

local function leave_work(songhash)
  redis.call('ZREM', leases, songhash)
  redis.call('LREM', processing, 0, songhash)
end

-- The total time of the song's runs, in ms; `record` has state, started_ms and ran_ms.
local function ran_ms(record)
  local latest = record[1] == 'running' and tonumber(record[2] or '')
  return count_of(record[3]) + (latest and math.max(now - latest, 0) or 0)
end

-- The models that refine stems by the options of a record, each once, in order; none if they are damaged: the run fails
-- and says so. msaas.jobs.Job.models reads the same.
local function refining_models(options)
  local found, seen = {}, {}
  if not options or not string.find(options, '"refine"', 1, true) then
    return found
  end
  local read, given = pcall(cjson.decode, options)
  if not read or type(given) ~= 'table' or type(given.refine) ~= 'table' then
    return found
  end
  for stem, model in pairs(given.refine) do
    if type(stem) ~= 'string' or type(model) ~= 'string' then
      return {}
    end
    if not seen[model] then
      seen[model] = true
      found[#found + 1] = model
    end
  end
  table.sort(found)
  return found
end

-- The model that was asked for; nil for a song pushed by hand, or a name that no model has (damaged).
local LONGEST_MODEL_NAME = 200
local function model_of(songhash)
  local model = fields_of(job_key(songhash), 'model')[1] or ''
  return model ~= '' and #model <= LONGEST_MODEL_NAME and model or nil
end

-- What the averages of a song's runs are kept under: its model, and after a + each, others that refine its stems, since
-- those may be many times slower. nil as for model_of. msaas.queue.pace.run_name reads the same.
local function run_name(songhash)
  local model = model_of(songhash)
  if not model then
    return nil
  end
  local name = model
  for _, refining in ipairs(refining_models(fields_of(job_key(songhash), 'options')[1])) do
    if refining ~= model then
      name = name .. '+' .. refining
    end
  end
  return #name <= LONGEST_MODEL_NAME and name or nil
end

-- Seconds of work per second of audio, of the song's models if one of their runs has ended, else of its model; nil before
-- the first run.
local function pace_of(songhash)
  local field = 'seconds_per_audio_second'
  local names = {run_name(songhash) or '', model_of(songhash) or ''}
  local fields = {field .. ':' .. names[1], field .. ':' .. names[2], field}
  for _, text in ipairs(fields_of(pace, unpack(fields))) do
    local found = tonumber(text)
    if found and found > 0 then
      return found
    end
  end
  return nil
end

-- The cost of an ended job for its account, in seconds of audio: its length, as often as its options multiply the
-- model's work, if it was separated; otherwise the audio
-- that could have been separated in the time of its runs. nil: unknown.
local function audio_cost(songhash, state, ran)
  if state ~= 'done' then
    return ran / 1000 / (pace_of(songhash) or 1)
  end
  local ok, result = pcall(cjson.decode, fields_of(job_key(songhash), 'result')[1] or '')
  local seconds = ok and type(result) == 'table' and tonumber(result.duration_seconds) or nil
  return seconds and seconds * math.max(tonumber(result.work) or 1, 1)
end

local function end_job(songhash, state, fields)
  local key = job_key(songhash)
  local before = fields_of(key, 'state', 'started_ms', 'ran_ms', 'account')
  leave_work(songhash)
  write_fields(key, 'state', state, 'stage', '', 'finished_ms', ms_text(now), unpack(fields or {}))
  if before[4] then
    settle_song(before[4], songhash, audio_cost(songhash, state, ran_ms(before)), state == 'done', now)
    redis.call('HDEL', key, 'account', 'ran_ms')
  end
  redis.call('HDEL', key, 'fetch_url')  -- it often contains a secret
  publish(songhash, state, '', state == 'done' and 1 or 0)
  release_callbacks(songhash, now)
end

local function bury(songhash, error_json)
  redis.call('RPUSH', dead, songhash)
  end_job(songhash, 'failed', {'error', error_json})
end

-- `end_of_list`: 'LPUSH' for a job that has already waited its turn, 'RPUSH' for one that goes behind the others: it
-- takes its tenant's next turn.
local function requeue(songhash, end_of_list)
  local key = job_key(songhash)
  local before = fields_of(key, 'state', 'started_ms', 'ran_ms', 'account')
  leave_work(songhash)
  write_fields(key, 'state', 'queued', 'stage', '', 'progress', '0', 'worker', '')
  if before[4] then
    redis.call('HSET', key, 'ran_ms', ms_text(ran_ms(before)))
  end
  if end_of_list == 'LPUSH' then
    redis.call('LPUSH', waiting, songhash)
  else
    take_turn(waiting, songhash)
  end
  publish(songhash, 'queued', '', 0)
end

-- Whether the holder of `fence` still owns the job; not after a requeue, a cancel or another claim.
local function owns(songhash, fence)
  local record = fields_of(job_key(songhash), 'state', 'fence')
  return record[1] == 'running' and record[2] == fence
end
