-- Notes that an upload has become a job. Its song is stored under the songhash now; its chunks are not needed any more.
-- ARGV: id, songhash
-- Returns 1, or 0 if the upload is gone (nothing changes).
local id, songhash = ARGV[1], ARGV[2]
if type_of(upload_key(id)) ~= 'hash' then
  return 0
end
leave_account(id)
redis.call('HSET', upload_key(id), 'songhash', songhash)
redis.call('DEL', chunks_key(id))
return 1
