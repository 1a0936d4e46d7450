-- Adds callbacks to their owners' outboxes where they are missing, because an older version posted them or a key was
-- deleted.
local adopted = 0
for _, id in ipairs(ARGV) do
  local ms, owner = tonumber(redis.call('ZSCORE', outbox, id) or ''), owner_of(id)
  make_room('zset', due_key(owner))
  make_room('zset', owners)
  if ms and not redis.call('ZSCORE', due_key(owner), id) then
    schedule(id, owner, ms)
    adopted = adopted + 1
  elseif ms and not redis.call('ZSCORE', owners, owner) then
    schedule(id, owner, ms)
  end
end
return adopted
