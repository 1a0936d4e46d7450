-- Creates an upload, unless its account has too many unfinished ones.
-- ARGV: id, account, size, most unfinished uploads (0: any), most bytes of them (0: any), ms until it expires, then
-- field, value, ... of the record
-- Returns '', or with nothing changed 'many' or 'heavy'.
local id, account, size = ARGV[1], ARGV[2], tonumber(ARGV[3])
local most, most_bytes, lasts_ms = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local unfinished = unfinished_key(account)
make_room('zset', unfinished)
redis.call('ZREMRANGEBYSCORE', unfinished, '-inf', ms_text(now))
if most > 0 and redis.call('ZCARD', unfinished) >= most then
  return 'many'
end
if most_bytes > 0 then
  local bytes = size
  for _, entry in ipairs(redis.call('ZRANGE', unfinished, 0, -1)) do
    bytes = bytes + (bytes_of(string.match(entry, ' (%d+)$')) or 0)
  end
  if bytes > most_bytes then
    return 'heavy'
  end
end
redis.call('DEL', upload_key(id), chunks_key(id))
redis.call('HSET', upload_key(id), 'account', account, 'size', ARGV[3], 'offset', '0', unpack(ARGV, 7))
extend(id, lasts_ms)
return ''
