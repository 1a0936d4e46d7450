-- Locks an upload for a request that appends to it at an offset.
-- ARGV: id, token, offset, ms until the lock ends if it is not renewed
-- Returns {'locked', last chunk or ''}; or, with nothing changed, {'unknown'}, {'busy'} if another request appends, or
-- {'offset', the offset that it has}.
local id, token, offset, lock_ms = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local record = fields_of(upload_key(id), 'size', 'offset', 'lock', 'locked_until_ms')
local at = bytes_of(record[2])
if not bytes_of(record[1]) or not at then
  return {'unknown'}
end
if record[3] and (tonumber(record[4] or '') or 0) > now then
  return {'busy'}
end
if at ~= offset then
  return {'offset', record[2]}
end
redis.call('HSET', upload_key(id), 'lock', token, 'locked_until_ms', ms_text(now + lock_ms))
local last = type_of(chunks_key(id)) == 'list' and redis.call('LINDEX', chunks_key(id), -1)
return {'locked', last or ''}
