-- Takes what is due, under a lease: the due time moves on, so that no other part sends it meanwhile, and a sender
-- that dies is followed by another. An attempt counts from here, so that a callback which kills its sender counts.
--
-- Owners take turns: who has the fewest on its way here goes first, of equals who was served longest ago. None has more
-- than its share, and no receiver more than one at a time: whoever hangs delays its own.
-- ARGV: token, lease ms, attempts limit, how many, an owner's share, then owner and origin of each that is on its way
-- from this part
-- Returns {{id, field, value, ...}, ...}.
local token, lease_ms, limit, count, share = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local held, busy = {}, {}
for i = 6, #ARGV, 2 do
  held[ARGV[i]] = (held[ARGV[i]] or 0) + 1
  busy[ARGV[i + 1]] = true
end

-- Looked through at once, of each owner's and in all: a script holds up all of Redis.
local OWNERS, DEPTH, MOST_LOOKED_AT = 200, 200, 2000
local HIDDEN_MS = 200
local looked_at, served = 0, {}

-- The owner is looked at again at `ms` at the earliest; nil: when something is scheduled for it.
local function look_again(owner, ms)
  if ms then
    redis.call('ZADD', owners, string.format('%.1f', ms), owner)
  else
    redis.call('ZREM', owners, owner)
  end
end

-- The first of the owner's that is due and whose receiver is free; nil where there is none.
local function next_of(owner)
  make_room('zset', due_key(owner))
  local due = redis.call('ZRANGEBYSCORE', due_key(owner), '-inf', string.format('%d', now), 'LIMIT', 0, DEPTH)
  for _, id in ipairs(due) do
    looked_at = looked_at + 1
    local seen = fields_of(callback_key(id), 'origin', 'attempts')
    local origin, attempts = seen[1] or '', count_of(seen[2])
    if type_of(callback_key(id)) ~= 'hash' then
      unschedule(id, owner)  -- its record was deleted by hand, or overwritten
      count_open(id, owner, nil)
    elseif attempts >= limit then
      end_callback(id, 'failed', 'the part that sent it was lost on the last attempt')
    elseif not busy[origin] then
      return id, origin, attempts
    end
  end
  if #due == DEPTH then  -- so many for busy receivers that they hide what is behind them: let that by
    for _, id in ipairs(due) do
      if type_of(callback_key(id)) == 'hash' and redis.call('ZSCORE', due_key(owner), id) then
        schedule(id, owner, now + HIDDEN_MS)
      end
    end
  end
  local first = redis.call('ZRANGE', due_key(owner), 0, 0, 'WITHSCORES')
  -- Behind those that nobody has looked at for longer, ahead of those that are served now.
  look_again(owner, first[1] and math.max(tonumber(first[2]), served[owner] and now or now - 0.5))
  return nil
end

local function take(id, owner, attempts)
  local key = callback_key(id)
  schedule(id, owner, now + lease_ms)
  redis.call('HSET', key, 'attempts', string.format('%d', attempts + 1), 'token', token,
    'tried_ms', string.format('%d', now))
  look_again(owner, now)
  served[owner] = true
  return append_fields({id}, key)
end

make_room('zset', owners)
local asking = redis.call('ZRANGEBYSCORE', owners, '-inf', string.format('%d', now), 'LIMIT', 0, OWNERS)
local taken = {}
while #taken < count and looked_at < MOST_LOOKED_AT do
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
