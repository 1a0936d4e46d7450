-- Keeps the answer of a request, or frees its key. Nothing changes if another request has taken the key over.
-- KEYS: idempotency:<account>. ARGV: digest, token, ms that the answer is kept, the answer ('' frees the key)
local index, digest, token, kept_ms, answer = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local record = index .. ':' .. digest
if fields_of(record, 'token')[1] ~= token then
  return 0
end
if answer == '' then
  redis.call('DEL', record)
  make_room('zset', index)
  redis.call('ZREM', index, digest)
  return 1
end
redis.call('HDEL', record, 'token')
redis.call('HSET', record, 'answer', answer)
redis.call('PEXPIRE', record, kept_ms)
return 1
