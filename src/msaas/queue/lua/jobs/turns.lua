-- Where in the waiting list a song goes: tenants take turns.
--
-- Each song gets a turn, one past its tenant's last one, or one past the turn that the list has come to. It goes behind
-- the songs of the same turn and before those of later ones. A single tenant's songs so go to the tail, one behind the
-- other; a tenant with few songs goes past those that have many. What is pushed by hand has no turn and keeps its place.
--
-- toWorkers:order  zset  songhash > its turn, of those that wait; in the order of the list
-- toWorkers:turns  hash  'reached' > turn of the last one claimed; 'last <tenant>' > turn of its last song; 'songs
--                        <tenant>' > how many wait
--
-- The list alone says what waits: with both keys deleted, or of another type, songs go to its tail as ever.
local turns, order = 'toWorkers:turns', 'toWorkers:order'
local STALE = 10  -- entries of `order` that are in the list no more, passed over for each song

local function tenant_of(songhash)
  return fields_of('job:' .. songhash, 'tenant')[1] or ''
end

local function next_turn(tenant)
  local seen = fields_of(turns, 'reached', 'last ' .. tenant, 'songs ' .. tenant)
  local turn = math.max(count_of(seen[1]), count_of(seen[2])) + 1
  redis.call('HSET', turns, 'last ' .. tenant, string.format('%d', turn),
    'songs ' .. tenant, string.format('%d', count_of(seen[3]) + 1))
  return turn
end

-- The score of a song in `order`: its turn, and behind the point which one of that turn it is. Scores so are in the
-- order of the list.
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
    redis.call('ZREM', order, after)  -- somebody took it out by hand
  end
  redis.call('RPUSH', list, songhash)
end

-- Puts a song into the list, its record written before.
local function take_turn(list, songhash)
  if redis.call('LLEN', list) == 0 then
    redis.call('DEL', turns, order)  -- nobody waits: what was counted wrong is put right
  end
  make_room('hash', turns)
  make_room('zset', order)
  local turn = next_turn(tenant_of(songhash))
  insert(list, songhash, turn)
  redis.call('ZADD', order, next_score(turn), songhash)
end

-- The song waits no more. `reached`: its turn has come, it was not taken out.
local function leave_turn(songhash, reached)
  make_room('hash', turns)
  make_room('zset', order)
  local turn = tonumber(redis.call('ZSCORE', order, songhash) or '')
  if not turn then
    return
  end
  redis.call('ZREM', order, songhash)
  local tenant = tenant_of(songhash)
  local left = count_of(redis.call('HGET', turns, 'songs ' .. tenant)) - 1
  if left > 0 then
    redis.call('HSET', turns, 'songs ' .. tenant, string.format('%d', left))
  else
    redis.call('HDEL', turns, 'songs ' .. tenant, 'last ' .. tenant)  -- it begins anew where the list has come to
  end
  turn = math.floor(turn)
  if reached and turn > count_of(redis.call('HGET', turns, 'reached')) then
    redis.call('HSET', turns, 'reached', string.format('%d', turn))
  end
end
