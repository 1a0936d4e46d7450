-- Takes one slot in a window, if available.
-- KEYS[1] quota:<account>:<what>; ARGV: limit, slices, milliseconds of a slice
-- Returns {1 or 0, slots left, seconds until a slot is free}
local limit, slices, slice_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local used, kept = window_used(KEYS[1], slices, slice_ms, now)
if used + 1 > limit then
  return {0, 0, window_wait(kept, used + 1 - limit, slices, slice_ms, now)}
end
local slice = math.floor(now / slice_ms)
window_add(KEYS[1], slices, slice_ms, slice, 1)
kept[#kept + 1] = {slice, 1}
return {1, limit - used - 1, window_wait(kept, 1, slices, slice_ms, now)}
