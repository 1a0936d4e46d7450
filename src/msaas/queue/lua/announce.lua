-- Notes that a worker lives and what it can run, and forgets those that have not said so for long.
-- KEYS[1] workers  hash  worker > 'ms until it is forgotten, JSON of what it says'
-- ARGV: worker, ms that its word lasts, JSON
local workers, name, lasts_ms, told = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local kind = redis.call('TYPE', workers)['ok']
if kind ~= 'hash' and kind ~= 'none' then
  redis.call('DEL', workers)  -- overwritten by hand; each worker says its own again soon
end
redis.call('HSET', workers, name, string.format('%d %s', now + lasts_ms, told))
redis.call('PEXPIRE', workers, lasts_ms)
local all = redis.call('HGETALL', workers)
for i = 1, #all, 2 do
  local until_ms = tonumber(string.match(all[i + 1], '^%d+'))
  if not until_ms or until_ms <= now then
    redis.call('HDEL', workers, all[i])
  end
end
