-- Records the result of an attempt.
-- ARGV: id, token, state, wait ms (for a callback that stays pending), error text
-- Returns 1, or 0 if the lease expired and the callback is another sender's (nothing changes).
local id, token, state, wait_ms, error_text = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local key = callback_key(id)
if fields_of(key, 'token')[1] ~= token then
  return 0
end
if state == 'pending' then
  redis.call('HDEL', key, 'token')
  redis.call('HSET', key, 'last_error', error_text)
  schedule(id, owner_of(id), now + wait_ms)
else
  end_callback(id, state, error_text)
end
return 1
