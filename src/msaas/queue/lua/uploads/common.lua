-- Concatenated before every script of uploads/: keys and functions that several scripts share.
--
-- upload:<id>          hash  size, offset, account, tenant, metadata, expires_ms; lock and locked_until_ms: token of the
--                            request that appends; songhash, once the upload has become a job
-- upload:<id>:chunks   list  '<name> <bytes>' of each stored chunk, in order
-- uploads:<account>    zset  '<id> <size>' > expiry in ms: the account's unfinished uploads
local function upload_key(id)
  return 'upload:' .. id
end

local function chunks_key(id)
  return 'upload:' .. id .. ':chunks'
end

local function unfinished_key(account)
  return 'uploads:' .. account
end

-- A number of bytes from a record; nil if invalid.
local function bytes_of(text)
  local bytes = tonumber(text or '')
  return bytes and bytes >= 0 and bytes < 2 ^ 53 and bytes == math.floor(bytes) and bytes or nil
end

local function is_locked_by(id, token)
  return fields_of(upload_key(id), 'lock')[1] == token
end

-- The upload is no longer unfinished: it does not count against its account.
local function leave_account(id)
  local record = fields_of(upload_key(id), 'account', 'size')
  local unfinished = unfinished_key(record[1] or '')
  if type_of(unfinished) == 'zset' then
    redis.call('ZREM', unfinished, id .. ' ' .. (record[2] or ''))
  end
end

-- Postpones the expiry: progress was made.
local function extend(id, lasts_ms)
  local record = fields_of(upload_key(id), 'account', 'size')
  local unfinished = unfinished_key(record[1] or '')
  redis.call('HSET', upload_key(id), 'expires_ms', ms_text(now + lasts_ms))
  redis.call('PEXPIRE', upload_key(id), lasts_ms)
  redis.call('PEXPIRE', chunks_key(id), lasts_ms)
  make_room('zset', unfinished)
  redis.call('ZADD', unfinished, ms_text(now + lasts_ms), id .. ' ' .. (record[2] or ''))
  redis.call('PEXPIRE', unfinished, lasts_ms)
end
