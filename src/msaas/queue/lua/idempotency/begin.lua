-- Reserves an idempotency key for a request, or says what became of the request that has it.
-- idempotency:<account>            zset  digest of a key > time of its request, microseconds; the newest `most` of them
-- idempotency:<account>:<digest>   hash  fingerprint of the request; token of the process that works on it; its answer
-- KEYS: the zset. ARGV: digest, fingerprint, token, ms of a reservation, ms that an answer is kept, most keys
-- Returns {'new'}, {'busy', ms that are left of its reservation}, {'other'} if the key belongs to another request, or
-- {'answered', answer}.
local index, digest, fingerprint, token = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local reserved_ms, kept_ms, most = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local record = index .. ':' .. digest
local at = clock[1] * 1e6 + clock[2]  -- in ms, several keys would have the same time

local found = fields_of(record, 'fingerprint', 'answer')
if found[1] and found[1] ~= fingerprint then
  return {'other'}
elseif found[1] and found[2] then
  return {'answered', found[2]}
elseif found[1] then
  return {'busy', math.max(redis.call('PTTL', record), 1)}
end

make_room('zset', index)
redis.call('ZREMRANGEBYSCORE', index, '-inf', ms_text(at - kept_ms * 1000))
redis.call('ZREM', index, digest)
while redis.call('ZCARD', index) >= most do
  redis.call('DEL', index .. ':' .. redis.call('ZPOPMIN', index)[1])
end
redis.call('ZADD', index, ms_text(at), digest)
redis.call('PEXPIRE', index, kept_ms)
make_room('hash', record)
redis.call('DEL', record)
redis.call('HSET', record, 'fingerprint', fingerprint, 'token', token)
redis.call('PEXPIRE', record, reserved_ms)
return {'new'}
