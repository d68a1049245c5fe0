-- KEYS[1] is the prefix of all keys. Records are fields "version data" of a hash,
-- their times the scores of a sorted set, versions come from a counter.
local data, at, seq = KEYS[1] .. 'data', KEYS[1] .. 'at', KEYS[1] .. 'version'
local op = ARGV[1]

local function version(key)
  local v = redis.call('HGET', data, key)
  if not v then return '0' end
  return string.match(v, '^%d+')
end

if op == 'get' then
  local v = redis.call('HGET', data, ARGV[2])
  if not v then return {} end
  return {ARGV[2], redis.call('ZSCORE', at, ARGV[2]), v}
end

if op == 'put' then
  if version(ARGV[2]) ~= ARGV[3] then return {} end
  local new = redis.call('INCR', seq)
  redis.call('HSET', data, ARGV[2], string.format('%d', new) .. ' ' .. ARGV[5])
  redis.call('ZADD', at, ARGV[4], ARGV[2])
  return {new}
end

if op == 'delete' then
  local v = version(ARGV[2])
  if v == '0' or v ~= ARGV[3] then return {} end
  redis.call('HDEL', data, ARGV[2])
  redis.call('ZREM', at, ARGV[2])
  return {1}
end

if op == 'due' then
  local found = redis.call('ZRANGEBYSCORE', at, '-inf', ARGV[2], 'WITHSCORES', 'LIMIT', 0, ARGV[3])
  local out = {}
  for i = 1, #found, 2 do
    local v = redis.call('HGET', data, found[i])
    if v then
      out[#out + 1] = found[i]
      out[#out + 1] = found[i + 1]
      out[#out + 1] = v
    end
  end
  return out
end

if op == 'next' then
  return redis.call('ZRANGE', at, 0, 0, 'WITHSCORES')
end

return redis.error_reply('ERR no such operation')
