-- Deletes the record of a job that ended long ago, so that its objects can be deleted. A song without a record is only
-- marked. The mark keeps others from starting with the song until its objects are deleted.
--
-- held:<songhash>      exists while the song is posted or downloaded: it is not retired then
-- retiring:<songhash>  exists while its objects are deleted
--
-- ARGV: songhash, minimum ms since its end (-1: it has no record), ms until the mark expires
-- Returns 'forgotten', 'unrecorded', or '' (nothing changes).
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
-- Pushed by hand: it waits, whatever its record says.
if redis.call('LPOS', waiting, songhash) then
  return ''
end
if state ~= 'done' and state ~= 'cancelled' then
  redis.call('LREM', dead, 1, songhash)  -- at most once; the oldest are at the head
end
unlist_song(songhash)
redis.call('DEL', key)
redis.call('SET', mark, '1', 'PX', mark_ms)
return state and 'forgotten' or 'unrecorded'
