-- Concatenated before every script. Redis has no rollback: a command that fails within a script leaves earlier changes.
-- So scripts check everything that may fail before they change anything.

local function type_of(key)
  return redis.call('TYPE', key).ok
end

-- Keys shared by all jobs. Unexpected contents are left for a person to inspect: nothing is changed.
local function expect(kind, key)
  local found = type_of(key)
  if found ~= kind and found ~= 'none' then
    error('the key ' .. key .. ' holds a ' .. found .. ' where a ' .. kind .. ' belongs; rename or delete it', 0)
  end
end

-- Keys of one job, callback or account. A value of another type counts as missing, and is deleted before a write, so
-- that one damaged key does not block others.
local function make_room(kind, key)
  local found = type_of(key)
  if found ~= kind and found ~= 'none' then
    redis.call('DEL', key)
  end
end

-- The fields of a hash; all false if the key is missing or of another type.
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

-- A count from a record's text: an integer from 0 to 1e9. Invalid text counts as 0.
local function count_of(text)
  local count = tonumber(text or 0) or 0
  if not (count >= 0) then  -- negative or NaN
    return 0
  end
  return math.min(math.floor(count), 1e9)
end

-- Appends all fields as name, value, ... to `list`. Without unpack(), which fails beyond some 8000 values.
local function append_fields(list, key)
  for _, text in ipairs(redis.call('HGETALL', key)) do
    list[#list + 1] = text
  end
  return list
end
