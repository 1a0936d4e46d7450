-- Ends a failed run: requeues the job behind the waiting songs, or fails it.
-- ARGV: songhash, fence, error JSON, '1' to retry, attempt limit
-- Returns 'queued', 'failed', or '' if the fence is old (nothing changes).
local songhash, fence, error_json = ARGV[1], ARGV[2], ARGV[3]
local may_retry, limit = ARGV[4] == '1', tonumber(ARGV[5])
if not owns(songhash, fence) then
  return ''
end
if may_retry and count_of(redis.call('HGET', job_key(songhash), 'attempts')) < limit then
  redis.call('HSET', job_key(songhash), 'error', error_json)
  requeue(songhash, 'RPUSH')
  return 'queued'
end
bury(songhash, error_json)
return 'failed'
