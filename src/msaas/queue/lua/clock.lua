-- Redis' clock, so that the clocks of workers and APIs need not agree.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)  -- ms

-- As text: a Lua number would print as 1.7e+12.
local function ms_text(ms)
  return string.format('%d', ms)
end
