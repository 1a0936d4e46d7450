-- Ends the fetch of a song: its provisional job leads to the job of the song from now on. Its callbacks wait for the end
-- of that job, or are due if it has ended.
-- ARGV: the provisional job, fence, songhash of the job that it leads to, whose record exists
-- Returns 1, or 0 if the fence is old (nothing changes).
local provisional, fence, songhash = ARGV[1], ARGV[2], ARGV[3]
if not owns(provisional, fence) then
  return 0
end
local from, to = callbacks_waiting_key(provisional), callbacks_waiting_key(songhash)
local state = fields_of(job_key(songhash), 'state')[1]
local ended = state == 'done' or state == 'failed' or state == 'cancelled'

local function move_callback(digest, id)
  if type_of(callback_key(id)) ~= 'hash' then
    return
  end
  if not ended and fields_of(to, digest)[1] then  -- posted with the song, too: it is called once
    count_open(id, owner_of(id), nil)
    redis.call('DEL', callback_key(id))
    return
  end
  redis.call('HSET', callback_key(id), 'songhash', songhash)
  attach_callback(songhash, id, digest, ended, now)
end

if type_of(from) == 'hash' then
  local found = redis.call('HGETALL', from)
  for i = 1, #found, 2 do
    move_callback(found[i], found[i + 1])
  end
end
redis.call('DEL', from, 'callbacks:of:' .. provisional)
redis.call('HDEL', job_key(provisional), 'error')
end_job(provisional, 'done', {'progress', '1', 'leads_to', songhash})
return 1
