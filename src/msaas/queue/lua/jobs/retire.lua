-- Forgets a job that ended long ago, so that what is stored of it can be deleted. One that has no record has nothing to
-- forget. The mark keeps others from beginning with the song until all of it is gone.
--
-- held:<songhash>      while somebody posts or downloads the song: it is not retired then
-- retiring:<songhash>  while its objects are deleted
--
-- ARGV: songhash, ms that have passed since its end (-1: it has no record), ms that the mark lasts
-- Returns 'forgotten', 'unrecorded', or '' where it was left as it is.
local songhash, age_ms, mark_ms = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local key, mark = job_key(songhash), 'retiring:' .. songhash
local record = fields_of(key, 'state', 'finished_ms')
local state, finished_ms = record[1], tonumber(record[2] or '')
local ended = state == 'done' or state == 'failed' or state == 'cancelled'
if age_ms < 0 and state or age_ms >= 0 and not (ended and finished_ms and now - finished_ms >= age_ms) then
  return ''
end
if redis.call('EXISTS', 'held:' .. songhash, mark) > 0 or redis.call('ZSCORE', leases, songhash) then
  return ''
end
-- Pushed by hand, it waits whatever its record says.
if redis.call('LPOS', waiting, songhash) then
  return ''
end
if state ~= 'done' and state ~= 'cancelled' then
  redis.call('LREM', dead, 1, songhash)  -- it is there once at most; the oldest are at the head
end
redis.call('DEL', key)
redis.call('SET', mark, '1', 'PX', mark_ms)
return state and 'forgotten' or 'unrecorded'
