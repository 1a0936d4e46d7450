-- Takes the head of the list, under a lease and a new fence. An attempt counts from here, so that a run that
-- takes its whole machine down counts too.
-- ARGV: worker, lease ms, attempts limit, error JSON of a job over the limit, error JSON of an entry that is no UUID
-- Returns {songhash, fence, field, value, ...}, or an empty list when nothing waits.
local worker, lease_ms, limit = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local hex4 = '%x%x%x%x'
local uuid = '^' .. hex4 .. hex4 .. '%-' .. hex4 .. '%-' .. hex4 .. '%-' .. hex4 .. '%-' .. hex4 .. hex4 .. hex4 .. '$'

-- Bounded, since a script holds up all of Redis: past a thousand unusable entries the next claim goes on.
for _ = 1, 1000 do
  local entry = redis.call('LPOP', waiting)
  if not entry then
    return {}
  end
  if not string.match(entry, uuid) then
    redis.call('RPUSH', dead, entry)
  else
    local songhash = string.lower(entry)
    local key = job_key(songhash)
    if not redis.call('ZSCORE', leases, songhash) then
      local state = redis.call('HGET', key, 'state')
      if state ~= 'queued' then
        -- Pushed by hand, with no record or one that has ended: a job that starts afresh.
        redis.call('HDEL', key, 'error', 'result', 'finished_ms')
        redis.call('HSET', key, 'attempts', '0', 'created_ms', ms_text(now))
        redis.call('LREM', dead, 0, songhash)
      end
      if tonumber(redis.call('HGET', key, 'attempts') or 0) >= limit then
        bury(songhash, ARGV[4])
      else
        local fence = ms_text(redis.call('INCR', fence_counter))
        redis.call('HINCRBY', key, 'attempts', 1)
        redis.call('HSET', key, 'state', 'running', 'fence', fence, 'worker', worker, 'stage', 'starting',
          'progress', '0', 'started_ms', ms_text(now))
        redis.call('RPUSH', processing, songhash)
        redis.call('ZADD', leases, ms_text(now + lease_ms), songhash)
        publish(songhash, 'running', 'starting', 0)
        return {songhash, fence, unpack(redis.call('HGETALL', key))}
      end
    end
  end
end
return {}
