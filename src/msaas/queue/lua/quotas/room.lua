-- Whether one more song of an account, and its audio, fit. Charges nothing: jobs/submit.lua does.
-- ARGV: account, seconds of audio, limit in seconds (0: none), limit of open songs (0: none)
-- Returns {seconds to wait (0: none), seconds of audio left, 1 if only open songs are in the way, 1 if one more song may
-- be open}
local account, seconds, limit, max_open = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local fits = max_open == 0 or open_song_fits(account, max_open)
local wait, left, reserved = 0, 0, false
if limit > 0 then
  wait, left, reserved = audio_room(account, seconds, limit, now)
end
return {wait, left, reserved and 1 or 0, fits and 1 or 0}
