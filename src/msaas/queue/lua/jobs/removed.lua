-- Notes in the record of a done job that stems of it were deleted. A job that runs again gets a new record.
-- ARGV: songhash, stem ('*': all)
-- Returns 1, or 0 if the job is not done (nothing changes).
local songhash, stem = ARGV[1], ARGV[2]
local state, removed = unpack(fields_of(job_key(songhash), 'state', 'removed'))
if state ~= 'done' then
  return 0
end
if stem ~= '*' and removed and removed ~= '*' then
  stem = removed .. ' ' .. stem
end
redis.call('HSET', job_key(songhash), 'removed', removed == '*' and '*' or stem)
return 1
