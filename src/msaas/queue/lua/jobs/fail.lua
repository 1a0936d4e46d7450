-- Ends a run badly: another try, behind the songs that wait, or the end of it.
-- ARGV: songhash, fence, error JSON, '1' if another run may go better, attempts limit
-- Returns 'queued', 'failed', or '' where the fence is old: nothing was changed.
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
