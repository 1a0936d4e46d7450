-- Before every script. Redis rolls nothing back: a command that fails in mid-script leaves what came before it
-- done. So a script looks at everything that may fail first, and changes anything only then.

local function type_of(key)
  return redis.call('TYPE', key).ok
end

-- The keys that all jobs share. What was written there instead is for a person to look at: nothing is changed.
local function expect(kind, key)
  local found = type_of(key)
  if found ~= kind and found ~= 'none' then
    error('the key ' .. key .. ' holds a ' .. found .. ' where a ' .. kind .. ' belongs; rename or delete it', 0)
  end
end

-- The keys of one job, callback or account. A value of another type cannot be read as ours: it counts as missing, and
-- makes room when there is something to write, so that one damaged key holds up no others.
local function make_room(kind, key)
  local found = type_of(key)
  if found ~= kind and found ~= 'none' then
    redis.call('DEL', key)
  end
end

-- The fields of a hash; all of them false where the key is missing or of another type.
local function fields_of(key, ...)
  if type_of(key) == 'hash' then
    return redis.call('HMGET', key, ...)
  end
  local none = {}
  for i = 1, select('#', ...) do
    none[i] = false
  end
  return none
end

local function write_fields(key, ...)
  make_room('hash', key)
  redis.call('HSET', key, ...)
end

-- A count from a record's text: whole, from 0 to a thousand million. Text that is no number counts as 0.
local function count_of(text)
  local count = tonumber(text or 0) or 0
  if not (count >= 0) then  -- negative, or not a number at all
    return 0
  end
  return math.min(math.floor(count), 1e9)
end

-- All fields as {name, value, ...} behind what `list` holds. Not unpack(): it fails beyond some 8000 values.
local function append_fields(list, key)
  for _, text in ipairs(redis.call('HGETALL', key)) do
    list[#list + 1] = text
  end
  return list
end
