-- Takes due callbacks under a lease: the due time moves on, so that no other process sends them meanwhile, and another
-- one takes over if a sender dies. An attempt counts from here, so that a callback that crashes its sender counts.
--
-- Owners take turns: the one with the fewest in flight here goes first, among equals the one served longest ago. None
-- exceeds its share, and each receiver gets one at a time: a slow receiver delays only its own.
-- ARGV: token, lease ms, attempt limit, count, share per owner, then owner and origin of each callback in flight in
-- this process
-- Returns {{id, field, value, ...}, ...}.
local token, lease_ms, limit, count, share = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local held, busy = {}, {}
for i = 6, #ARGV, 2 do
  held[ARGV[i]] = (held[ARGV[i]] or 0) + 1
  busy[ARGV[i + 1]] = true
end

-- Limits on callbacks examined per owner and in total: a script blocks all of Redis.
local OWNERS, DEPTH, MAX_LOOKED_AT = 200, 200, 2000
local HIDDEN_MS = 200
local looked_at, served = 0, {}
local order = {}  -- of the owners that are examined: who waits for a receiver keeps its place among them

-- The owner is examined again at `ms` at the earliest; nil: when something is scheduled for it.
local function look_again(owner, ms)
  if ms then
    redis.call('ZADD', owners, string.format('%.3f', ms), owner)
  else
    redis.call('ZREM', owners, owner)
  end
end

-- Later than each owner that is examined in this millisecond: several may be served in one.
local function after_the_others()
  local last = redis.call('ZREVRANGEBYSCORE', owners, string.format('%.1f', now + 0.9), '-inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
  return math.min(math.max(now, (tonumber(last) or 0) + 0.001), now + 0.9)
end

-- The owner's first due callback whose receiver is free; nil if there is none.
local function next_of(owner)
  make_room('zset', due_key(owner))
  local due = redis.call('ZRANGEBYSCORE', due_key(owner), '-inf', string.format('%d', now), 'LIMIT', 0, DEPTH)
  for _, id in ipairs(due) do
    looked_at = looked_at + 1
    local seen = fields_of(callback_key(id), 'origin', 'attempts')
    local origin, attempts = seen[1] or '', count_of(seen[2])
    if type_of(callback_key(id)) ~= 'hash' then
      unschedule(id, owner)  -- its record was deleted or overwritten by hand
      count_open(id, owner, nil)
    elseif attempts >= limit then
      end_callback(id, 'failed', 'its sender died during the last attempt')
    elseif not busy[origin] then
      return id, origin, attempts
    end
  end
  if #due == DEPTH then  -- so many for busy receivers that they hide the rest: postpone them
    for _, id in ipairs(due) do
      if type_of(callback_key(id)) == 'hash' and redis.call('ZSCORE', due_key(owner), id) then
        schedule(id, owner, now + HIDDEN_MS)
      end
    end
  end
  local first = redis.call('ZRANGE', due_key(owner), 0, 0, 'WITHSCORES')
  local due_ms = first[1] and tonumber(first[2])
  local waits = due_ms and due_ms <= now  -- for a receiver
  if not waits then
    look_again(owner, due_ms)
  elseif not served[owner] then  -- who was served now keeps its place after the others
    look_again(owner, now - 0.5 + 0.001 * order[owner])  -- after owners not examined for longer
  end
  return nil
end

local function take(id, owner, attempts)
  local key = callback_key(id)
  schedule(id, owner, now + lease_ms)
  redis.call('HSET', key, 'attempts', string.format('%d', attempts + 1), 'token', token,
    'tried_ms', string.format('%d', now))
  look_again(owner, after_the_others())
  served[owner] = true
  return append_fields({id}, key)
end

make_room('zset', owners)
local asking = redis.call('ZRANGEBYSCORE', owners, '-inf', string.format('%.1f', now + 0.9), 'LIMIT', 0, OWNERS)
for i, owner in ipairs(asking) do
  order[owner] = i
end
local taken = {}
while #taken < count and looked_at < MAX_LOOKED_AT do
  local place
  for i, owner in ipairs(asking) do
    local mine = held[owner] or 0
    if mine < share and (not place or mine < (held[asking[place]] or 0)) then
      place = i
    end
  end
  if not place then
    break
  end
  local owner = asking[place]
  local id, origin, attempts = next_of(owner)
  if id then
    held[owner], busy[origin] = (held[owner] or 0) + 1, true
    taken[#taken + 1] = take(id, owner, attempts)
  else
    table.remove(asking, place)
  end
end
return taken
