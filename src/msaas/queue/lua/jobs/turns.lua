-- The position of a song in the waiting list: tenants take turns.
--
-- Each song gets a turn: one after its tenant's last one, or one after the turn that the list has reached. It goes after
-- the songs of the same turn and before those of later turns. So a single tenant's songs go to the tail, in order, and a
-- tenant with few songs overtakes those with many. A song pushed by hand has no turn and keeps its position.
--
-- After the list's name, here toWorkers (or toFetchers):
-- toWorkers:order  zset  songhash > its turn, for waiting songs; in the order of the list
-- toWorkers:turns  hash  'reached' > turn of the song claimed last; 'last <tenant>' > turn of its last song; 'songs
--                        <tenant>' > number of its waiting songs
--
-- Songs of low priority (`priority` in the record) wait behind all others. They take turns among themselves: their turns
-- are numbered from LOW on, and the fields of :turns begin with 'low '.
--
-- Only the list decides what waits: without these keys, or if they have another type, songs go to its tail.
local turns, order = KEYS[1] .. ':turns', KEYS[1] .. ':order'
local LOW = 1e9
local STALE = 10  -- entries of `order` that are no longer in the list, skipped per song

local function tenant_of(songhash)
  return fields_of('job:' .. songhash, 'tenant')[1] or ''
end

local function is_low(songhash)
  return fields_of('job:' .. songhash, 'priority')[1] == 'low'
end

local function next_turn(tenant, low)
  local class = low and 'low ' or ''
  local last, songs = class .. 'last ' .. tenant, class .. 'songs ' .. tenant
  local seen = fields_of(turns, class .. 'reached', last, songs)
  local turn = math.max(count_of(seen[1]), count_of(seen[2])) + 1
  redis.call('HSET', turns, last, string.format('%d', turn), songs, string.format('%d', count_of(seen[3]) + 1))
  return low and LOW + turn or turn
end

-- A song's score in `order`: its turn, with the position within that turn as fraction. So scores have the order of the
-- list.
local function next_score(turn)
  local next_turns = string.format('(%d', turn + 1)
  local last = redis.call('ZREVRANGEBYSCORE', order, next_turns, string.format('%d', turn), 'WITHSCORES', 'LIMIT', 0, 1)
  return string.format('%.6f', last[2] and tonumber(last[2]) + 1e-6 or turn)
end

local function insert(list, songhash, turn)
  local later = string.format('%d', turn + 1)
  for _, after in ipairs(redis.call('ZRANGEBYSCORE', order, later, '+inf', 'LIMIT', 0, STALE)) do
    if redis.call('LINSERT', list, 'BEFORE', after, songhash) > 0 then
      return
    end
    redis.call('ZREM', order, after)  -- removed by hand
  end
  redis.call('RPUSH', list, songhash)
end

-- Adds a song to the list. Its record must exist.
local function take_turn(list, songhash)
  if redis.call('LLEN', list) == 0 then
    redis.call('DEL', turns, order)  -- nobody waits: resets the counts
  end
  make_room('hash', turns)
  make_room('zset', order)
  local turn = next_turn(tenant_of(songhash), is_low(songhash))
  insert(list, songhash, turn)
  redis.call('ZADD', order, next_score(turn), songhash)
end

-- The song no longer waits. `reached`: its turn came; it was not removed.
local function leave_turn(songhash, reached)
  make_room('hash', turns)
  make_room('zset', order)
  local turn = tonumber(redis.call('ZSCORE', order, songhash) or '')
  if not turn then
    return
  end
  redis.call('ZREM', order, songhash)
  turn = math.floor(turn)
  local class = turn >= LOW and 'low ' or ''
  local tenant = tenant_of(songhash)
  local last, songs = class .. 'last ' .. tenant, class .. 'songs ' .. tenant
  local left = count_of(redis.call('HGET', turns, songs)) - 1
  if left > 0 then
    redis.call('HSET', turns, songs, string.format('%d', left))
  else
    redis.call('HDEL', turns, songs, last)  -- it starts again at the current turn
  end
  turn = turn >= LOW and turn - LOW or turn
  if reached and turn > count_of(redis.call('HGET', turns, class .. 'reached')) then
    redis.call('HSET', turns, class .. 'reached', string.format('%d', turn))
  end
end
