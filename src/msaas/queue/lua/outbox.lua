-- Callbacks that wait for their job to end, and the outbox they go to when it does. Put behind types.lua, before
-- common.lua, whose end_job calls release_callbacks, and before the sender's scripts in callbacks/lua/.
--
-- callbacks                     zset  the outbox: callback id > when to try it (next), Redis' clock, ms
-- callback:<id>                 hash  one callback: songhash, url, data, state, attempts, ... (waiting > pending >
--                                     delivered | failed | refused); forgotten a month after its end
-- callbacks:waiting:<songhash>  hash  those posted for a job that has not ended: digest of url and data > id
-- callbacks:of:<songhash>       list  ids of all posted for a song, the newest first
local outbox = 'callbacks'
local CALLBACKS_REMEMBERED_MS = 30 * 24 * 3600 * 1000
local MOST_CALLBACKS_A_SONG = 1000
expect('zset', outbox)

local function callback_key(id)
  return 'callback:' .. id
end

local function callbacks_waiting_key(songhash)
  return 'callbacks:waiting:' .. songhash
end

-- The record as it is when the job ends: a payload is the same at each attempt, whatever becomes of the job later.
local function snapshot_of(songhash)
  local names = {'state', 'error', 'result', 'model', 'options', 'upload', 'attempts', 'created_ms', 'started_ms',
    'finished_ms'}
  local values = fields_of('job:' .. songhash, unpack(names))
  local snapshot = {}
  for i, name in ipairs(names) do
    if values[i] then
      snapshot[name] = values[i]  -- text, as the record has it: cjson would bend numbers and empty lists
    end
  end
  return cjson.encode(snapshot)
end

local function make_callback_due(id, snapshot, now_ms)
  redis.call('HSET', callback_key(id), 'state', 'pending', 'snapshot', snapshot)
  redis.call('ZADD', outbox, string.format('%d', now_ms), id)
end

-- The job has ended, its record says how: what was posted for it is called, each once. One whose record is gone or
-- overwritten leads nowhere.
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

-- May one more wait? The same callback posted again is not one more.
local function callback_fits(songhash, digest)
  local waits = callbacks_waiting_key(songhash)
  return fields_of(waits, digest)[1] or type_of(waits) ~= 'hash' or redis.call('HLEN', waits) < MOST_CALLBACKS_A_SONG
end

-- Notes a callback: for later, or, with the job done, due now. The same one posted twice for a job that has not
-- ended is called once: whoever posts again after a lost answer means the same call.
local function note_callback(songhash, id, digest, url, data, origin, ended, now_ms)
  local waits = callbacks_waiting_key(songhash)
  if not ended and fields_of(waits, digest)[1] then
    return
  end
  write_fields(callback_key(id), 'songhash', songhash, 'url', url, 'data', data, 'origin', origin,
    'state', 'waiting', 'attempts', '0', 'posted_ms', string.format('%d', now_ms))
  local all = 'callbacks:of:' .. songhash
  make_room('list', all)
  redis.call('LPUSH', all, id)
  redis.call('LTRIM', all, 0, MOST_CALLBACKS_A_SONG - 1)
  redis.call('PEXPIRE', all, CALLBACKS_REMEMBERED_MS)
  if ended then
    make_callback_due(id, snapshot_of(songhash), now_ms)
  else
    write_fields(waits, digest, id)
  end
end
