-- Ends the lock of a request.
-- ARGV: id, token
if is_locked_by(ARGV[1], ARGV[2]) then
  redis.call('HDEL', upload_key(ARGV[1]), 'lock', 'locked_until_ms')
  return 1
end
return 0
