-- Is there room for a song in an account's day? Charges nothing: submit.lua does. quota.lua is put before it.
-- ARGV: account, seconds of audio, limit in seconds. Returns {seconds to wait, 0: none; seconds of audio left}
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local wait, left = audio_room(ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), now)
return {wait, left}
