-- Callbacks that wait for their job's end, and the outbox that they move to then (jobs/common.lua releases them).
--
-- callbacks                     zset  the outbox: callback id > time of the next attempt, Redis' clock, ms
-- callback:<id>                 hash  one callback: songhash, url, data, owner, state, attempts, ... (waiting > pending >
--                                     delivered | failed | refused); deleted a month after its end
-- callbacks:waiting:<songhash>  hash  callbacks of a job that has not ended: digest of url and data > id
-- callbacks:of:<songhash>       list  ids of all callbacks posted for a song, newest first
--
-- By owner, the caller that posted them, so that owners do not delay each other:
-- callbacks:due:<owner>         zset  the owner's part of the outbox
-- callbacks:owners              zset  owner > time of the next look at its part, ms: the owner served last comes last
-- callbacks:open:<owner>        hash  callback id > maximum bytes, of callbacks that have not ended
-- callbacks:bytes               hash  owner > their sum
-- callbacks:ended:<owner>       zset  id > end, ms: the latest ended callbacks; older ones are deleted
--
-- `callbacks` is authoritative for what is due, `callbacks:due:<owner>` is an index: callbacks/adopt.lua repairs it.
local outbox, owners, open_bytes = 'callbacks', 'callbacks:owners', 'callbacks:bytes'
local CALLBACKS_REMEMBERED_MS = 30 * 24 * 3600 * 1000
local MAX_CALLBACKS_A_SONG = 1000
local MAX_OPEN_BYTES = 32e6  -- of one owner: more than ten thousand callbacks of a common size
local MAX_ENDED = 1000  -- of one owner
local BYTES_BESIDE = 2048  -- of a record beside url and data: the job as it ended, above all
expect('zset', outbox)

local function callback_key(id)
  return 'callback:' .. id
end

local function owner_of(id)
  return fields_of(callback_key(id), 'owner')[1] or ''
end

local function due_key(owner)
  return 'callbacks:due:' .. owner
end

-- Schedules a callback at `ms`, Redis' clock; reschedules it if it is scheduled already.
local function schedule(id, owner, ms)
  local due, at = due_key(owner), string.format('%d', ms)
  make_room('zset', due)
  make_room('zset', owners)
  redis.call('ZADD', outbox, at, id)
  redis.call('ZADD', due, at, id)
  redis.call('ZADD', owners, 'LT', at, owner)  -- only take.lua moves it later
end

local function unschedule(id, owner)
  make_room('zset', due_key(owner))
  redis.call('ZREM', outbox, id)
  redis.call('ZREM', due_key(owner), id)
end

-- Counts a callback as open, or, without bytes, as closed.
local function count_open(id, owner, bytes)
  local open = 'callbacks:open:' .. owner
  make_room('hash', open)
  make_room('hash', open_bytes)
  local before = count_of(redis.call('HGET', open, id))
  local sum = count_of(redis.call('HGET', open_bytes, owner)) - before + (bytes or 0)
  if bytes then
    redis.call('HSET', open, id, string.format('%d', bytes))
  else
    redis.call('HDEL', open, id)
  end
  if redis.call('EXISTS', open) == 1 then
    redis.call('HSET', open_bytes, owner, string.format('%d', math.max(sum, 0)))
  else
    redis.call('HDEL', open_bytes, owner)  -- with none open, the sum is reset
  end
end

-- Whether the owner may have so many more bytes open. First removes callbacks whose records were deleted by hand.
local function open_fits(owner, bytes)
  local open = 'callbacks:open:' .. owner
  if count_of(fields_of(open_bytes, owner)[1]) + bytes <= MAX_OPEN_BYTES or type_of(open) ~= 'hash' then
    return true
  end
  if count_of(fields_of(open_bytes, owner)[1]) > MAX_OPEN_BYTES then  -- a damaged sum: recount
    local sum = 0
    for _, text in ipairs(redis.call('HVALS', open)) do
      sum = sum + count_of(text)
    end
    write_fields(open_bytes, owner, string.format('%d', math.min(sum, MAX_OPEN_BYTES)))
  end
  for _, id in ipairs(redis.call('HRANDFIELD', open, 20)) do
    if type_of(callback_key(id)) ~= 'hash' then
      count_open(id, owner, nil)
    end
  end
  return count_of(fields_of(open_bytes, owner)[1]) + bytes <= MAX_OPEN_BYTES
end

local function callbacks_waiting_key(songhash)
  return 'callbacks:waiting:' .. songhash
end

-- The record at the job's end: a payload is the same at each attempt, whatever happens to the job later.
local function snapshot_of(songhash)
  local names = {'state', 'error', 'result', 'model', 'options', 'upload', 'attempts', 'created_ms', 'started_ms',
    'finished_ms', 'mix_of'}
  local values = fields_of('job:' .. songhash, unpack(names))
  local snapshot = {}
  for i, name in ipairs(names) do
    if values[i] then
      snapshot[name] = values[i]  -- as text, as in the record: cjson would change numbers and empty lists
    end
  end
  return cjson.encode(snapshot)
end

local function make_callback_due(id, snapshot, now_ms)
  redis.call('HSET', callback_key(id), 'state', 'pending', 'snapshot', snapshot)
  schedule(id, owner_of(id), now_ms)
end

-- The job has ended: schedules its callbacks, each once. A callback whose record is missing or overwritten is dropped.
local function release_callbacks(songhash, now_ms)
  local waits = callbacks_waiting_key(songhash)
  if type_of(waits) ~= 'hash' then
    return
  end
  local snapshot = snapshot_of(songhash)
  for _, id in ipairs(redis.call('HVALS', waits)) do
    if type_of(callback_key(id)) == 'hash' then
      make_callback_due(id, snapshot, now_ms)
    end
  end
  redis.call('DEL', waits)
end

local function bytes_of(url, data)
  return #url + #data + BYTES_BESIDE
end

-- Why one more callback is rejected: 'full' if too many wait for the song, 'heavy' if the owner's take too much space;
-- '' if it is accepted. The same callback posted again does not count.
local function callback_refusal(songhash, digest, url, data, owner, ended)
  local waits = callbacks_waiting_key(songhash)
  if not ended and fields_of(waits, digest)[1] then
    return ''
  end
  if not ended and type_of(waits) == 'hash' and redis.call('HLEN', waits) >= MAX_CALLBACKS_A_SONG then
    return 'full'
  end
  return open_fits(owner, bytes_of(url, data)) and '' or 'heavy'
end

-- Lists a callback with the song, and makes it due if the song's job has ended. Else it waits for the end.
local function attach_callback(songhash, id, digest, ended, now_ms)
  local all = 'callbacks:of:' .. songhash
  make_room('list', all)
  redis.call('LPUSH', all, id)
  redis.call('LTRIM', all, 0, MAX_CALLBACKS_A_SONG - 1)
  redis.call('PEXPIRE', all, CALLBACKS_REMEMBERED_MS)
  if ended then
    make_callback_due(id, snapshot_of(songhash), now_ms)
  else
    write_fields(callbacks_waiting_key(songhash), digest, id)
  end
end

-- Adds a callback: for the job's end, or, if the job is done, due now. The same callback posted twice for a job that
-- has not ended is sent once, since a client repeats a post after a lost answer.
local function note_callback(songhash, id, digest, url, data, origin, owner, ended, now_ms)
  local waits = callbacks_waiting_key(songhash)
  if not ended and fields_of(waits, digest)[1] then
    return
  end
  write_fields(callback_key(id), 'songhash', songhash, 'url', url, 'data', data, 'origin', origin, 'owner', owner,
    'state', 'waiting', 'attempts', '0', 'posted_ms', string.format('%d', now_ms))
  count_open(id, owner, bytes_of(url, data))
  attach_callback(songhash, id, digest, ended, now_ms)
end
