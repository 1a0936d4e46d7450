-- Adds a stored chunk to an upload. Its bytes are acknowledged from here on.
-- ARGV: id, token, name of the chunk ('': only the lock is renewed), bytes of the chunk, offset that the upload has before
-- it, offset after it, '1' if it replaces the last chunk (whose bytes it begins with), ms until the upload expires, ms until the lock
-- ends
-- Returns the new offset as text, or '' if the lock is another request's or the upload is gone (nothing changes).
local id, token, name, bytes, before, reached = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6]
local replaces, lasts_ms, lock_ms = ARGV[7] == '1', tonumber(ARGV[8]), tonumber(ARGV[9])
if not is_locked_by(id, token) then
  return ''
end
local record = fields_of(upload_key(id), 'size', 'offset')
local size, offset = bytes_of(record[1]), bytes_of(record[2])
if not size or offset ~= before or tonumber(reached) > size then
  return ''
end
redis.call('HSET', upload_key(id), 'locked_until_ms', ms_text(now + lock_ms))
if name == '' then
  return record[2]
end
make_room('list', chunks_key(id))
if replaces then
  redis.call('RPOP', chunks_key(id))
end
redis.call('RPUSH', chunks_key(id), name .. ' ' .. bytes)
redis.call('HSET', upload_key(id), 'offset', reached)
extend(id, lasts_ms)
return reached
