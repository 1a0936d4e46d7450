-- Takes what is due, under a lease: the due time moves on, so that no other part sends it meanwhile, and a sender
-- that dies is followed by another. An attempt counts from here, so that a callback which kills its sender counts.
-- ARGV: token, lease ms, attempts limit, how many, then origins that this part is busy with already
-- Returns {{id, field, value, ...}, ...}.
local token, lease_ms, limit, count = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local busy = {}
for i = 5, #ARGV do
  busy[ARGV[i]] = true
end

local DEPTH = 1000  -- looked through at once: a script holds up all of Redis
local taken = {}
local due = redis.call('ZRANGEBYSCORE', outbox, '-inf', string.format('%d', now), 'LIMIT', 0, DEPTH)
for _, id in ipairs(due) do
  if #taken >= count then
    break
  end
  local key = callback_key(id)
  local seen = fields_of(key, 'origin', 'attempts')
  local origin, attempts = seen[1] or '', count_of(seen[2])
  if type_of(key) ~= 'hash' then
    redis.call('ZREM', outbox, id)  -- its record was deleted by hand, or overwritten
  elseif attempts >= limit then
    end_callback(id, 'failed', 'the part that sent it was lost on the last attempt')
  elseif not busy[origin] then
    redis.call('ZADD', outbox, string.format('%d', now + lease_ms), id)
    redis.call('HSET', key, 'attempts', string.format('%d', attempts + 1), 'token', token, 'tried_ms', string.format('%d', now))
    busy[origin] = true
    table.insert(taken, append_fields({id}, key))
  elseif #due == DEPTH then
    -- So many due for slow receivers that they hide those behind them: let these by.
    redis.call('ZADD', outbox, string.format('%d', now + 1000), id)
  end
end
return taken
