-- Takes back a song whose request is refused after all: as if it had not been posted, without callbacks. A song that is
-- in work is cancelled; its record stays until it expires, since its holder has to notice.
-- ARGV: songhash
-- Returns 1, or 0 if it has ended or is unknown (nothing changes).
local songhash = ARGV[1]
local state, account = unpack(fields_of(job_key(songhash), 'state', 'account'))
if state ~= 'queued' and state ~= 'running' then
  return 0
end
local waits = callbacks_waiting_key(songhash)
if type_of(waits) == 'hash' then
  for _, id in ipairs(redis.call('HVALS', waits)) do
    count_open(id, owner_of(id), nil)
    redis.call('DEL', callback_key(id))
  end
end
redis.call('DEL', waits, 'callbacks:of:' .. songhash)
redis.call('LREM', waiting, 0, songhash)
leave_turn(songhash, false)
unlist_song(songhash)
if state == 'running' then
  end_job(songhash, 'cancelled', {})
  return 1
end
if account then
  settle_song(account, songhash, 0, false, now)
end
redis.call('DEL', job_key(songhash))
return 1
