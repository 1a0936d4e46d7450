-- Deletes an upload's record. A request that appends to it finds its lock gone.
-- ARGV: id
leave_account(ARGV[1])
return redis.call('DEL', upload_key(ARGV[1]), chunks_key(ARGV[1]))
