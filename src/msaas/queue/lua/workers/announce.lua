-- Registers a live worker with its models, and removes workers that have not announced themselves in time.
-- KEYS[1] workers  hash  worker > 'expiry in ms, JSON of its announcement'
-- ARGV: worker, ms until expiry, JSON
local workers, name, lasts_ms, offer = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3]
make_room('hash', workers)  -- every worker announces itself again soon
redis.call('HSET', workers, name, string.format('%d %s', now + lasts_ms, offer))
redis.call('PEXPIRE', workers, lasts_ms)
local all = redis.call('HGETALL', workers)
for i = 1, #all, 2 do
  local until_ms = tonumber(string.match(all[i + 1], '^%d+'))
  if not until_ms or until_ms <= now then
    redis.call('HDEL', workers, all[i])
  end
end
