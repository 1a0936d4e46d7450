-- Charges a call's further cost to a window, even past the limit.
-- KEYS[1] quota:<account>:<what>; ARGV: amount, slices, milliseconds of a slice
local amount, slices, slice_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
window_add(KEYS[1], slices, slice_ms, math.floor(now / slice_ms), amount)
