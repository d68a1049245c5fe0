-- Delayed events in Redis: one operation, atomically. KEYS[1] begins the names
-- of all keys; ARGV[1] is the operation, what follows are its arguments. Times
-- are milliseconds. The answer is a list that begins with "ok" or with what
-- hindered it.
--
--   event:ID   hash    the event; what it has not is not there
--   due        zset    what is not final, by the time to look at it next
--   final      zset    what is final, by when it became so
--   open:USER  zset    a user's events that are not final, by id
--   soon:USER  zset    the same, by the time to look at them next
--   past:USER  zset    a user's events that are final, newest first
--   key:NAME   zset    what is not final and writes one state key, by id
--   txn        hash    the ids of the events that named requests have made
--   beat       string  when somebody looked last

local call, prefix = redis.call, KEYS[1]
local ops = {}

local function key(kind, name)
  return prefix .. kind .. ':' .. name
end

local due, final, txns, beat = prefix .. 'due', prefix .. 'final', prefix .. 'txn', prefix .. 'beat'

local function ms(n)
  return string.format('%.0f', n)
end

local function read(id)
  local f = call('HMGET', key('event', id), 'user', 'room', 'type', 'state_key', 'state', 'delay', 'txn', 'turn', 'at')
  if not f[1] then
    return nil
  end
  return {
    id = id, user = f[1], room = f[2], type = f[3], state_key = f[4], state = f[5],
    delay = tonumber(f[6]), txn = f[7], turn = tonumber(f[8]), at = tonumber(f[9]),
  }
end

-- The lengths keep apart names that are the same one after the other.
local function keySet(room, typ, state_key)
  return key('key', #room .. ':' .. room .. #typ .. ':' .. typ .. state_key)
end

local function look(e, at)
  call('HSET', key('event', e.id), 'at', at)
  call('ZADD', due, at, e.id)
  call('ZADD', key('soon', e.user), at, e.id)
end

local function claim(e, now, at)
  if e.state == 'scheduled' then
    call('HSET', key('event', e.id), 'tried', now)
  end
  call('HSET', key('event', e.id), 'state', 'sending', 'turn', e.turn + 1)
  look(e, at)
  local hash = call('HGETALL', key('event', e.id))
  if e.state == 'sending' then
    hash[#hash + 1], hash[#hash + 2] = 'doubt', '1'
  end
  return hash
end

local function finish(e, state, now, event_id, err)
  local name = key('event', e.id)
  call('HSET', name, 'state', state, 'finalised', now)
  if event_id ~= '' then
    call('HSET', name, 'event_id', event_id)
  end
  if err ~= '' then
    call('HSET', name, 'error', err)
  end
  call('HDEL', name, 'at', 'token')
  call('ZREM', due, e.id)
  call('ZREM', key('open', e.user), e.id)
  call('ZREM', key('soon', e.user), e.id)
  if e.state_key then
    call('ZREM', keySet(e.room, e.type, e.state_key), e.id)
  end
  call('ZADD', final, now, e.id)
  call('ZADD', key('past', e.user), '-' .. now, e.id)
end

-- first is the lowest score of a set, "" if it is empty.
local function first(set)
  return call('ZRANGE', set, 0, 0, 'WITHSCORES')[2] or ''
end

-- put ID USER TXN PER_USER TOTAL AT FIELD VALUE …
function ops.put(id, user, txn, per_user, total, at, ...)
  if txn ~= '' then
    local before = call('HGET', txns, txn)
    if before and call('EXISTS', key('event', before)) == 1 then
      return {'ok', before}
    end
  end
  if call('ZCARD', key('open', user)) >= tonumber(per_user) then
    return {'user', first(key('soon', user))}
  end
  if call('ZCARD', due) >= tonumber(total) then
    return {'total', first(due)}
  end
  if call('EXISTS', key('event', id)) == 1 then
    return {'taken'}
  end
  call('HSET', key('event', id), 'id', id, 'user', user, 'txn', txn, 'state', 'scheduled', 'turn', 0, ...)
  if txn ~= '' then
    call('HSET', txns, txn, id)
  end
  local e = read(id)
  look(e, at)
  call('ZADD', key('open', user), 0, id)
  if e.state_key then
    call('ZADD', keySet(e.room, e.type, e.state_key), 0, id)
  end
  return {'ok', id}
end

function ops.get(id)
  if not read(id) then
    return {'missing'}
  end
  return {'ok', call('HGETALL', key('event', id))}
end

-- page takes the ids of one page and says whether there are more.
local function page(set, ids, limit)
  local answer = {'ok', '', ''}
  if #ids > limit then
    ids[#ids] = nil
    local last = ids[#ids]
    answer[2], answer[3] = last, call('ZSCORE', set, last)
  end
  for _, id in ipairs(ids) do
    if read(id) then
      answer[#answer + 1] = call('HGETALL', key('event', id))
    end
  end
  return answer
end

-- open USER AFTER LIMIT lists what is not final.
function ops.open(user, after, limit)
  local set, from = key('open', user), '-'
  if after ~= '' then
    from = '(' .. after
  end
  return page(set, call('ZRANGEBYLEX', set, from, '+', 'LIMIT', 0, limit + 1), tonumber(limit))
end

-- less compares bytes, as Redis does in sets; "<" goes by the machine's language.
local function less(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = a:byte(i), b:byte(i)
    if x ~= y then
      return x < y
    end
  end
  return #a < #b
end

-- past USER SCORE AFTER LIMIT lists what is final, from behind a place that
-- need not be taken any more. SCORE is "" for the beginning.
function ops.past(user, score, after, limit)
  local set, lo = key('past', user), 0
  if score ~= '' then
    lo = call('ZCOUNT', set, '-inf', '(' .. score)
    local hi = lo + call('ZCOUNT', set, score, score)
    while lo < hi do
      local mid = math.floor((lo + hi) / 2)
      if less(after, call('ZRANGE', set, mid, mid)[1]) then
        hi = mid
      else
        lo = mid + 1
      end
    end
  end
  return page(set, call('ZRANGE', set, lo, lo + limit), tonumber(limit))
end

-- restart ID NOW [TOKEN]
function ops.restart(id, now, token)
  local e = read(id)
  if not e then
    return {'missing'}
  end
  if e.state ~= 'scheduled' then
    return {'state', e.state}
  end
  call('HSET', key('event', id), 'since', now)
  if token == '' then
    call('HDEL', key('event', id), 'token')
  elseif token then
    call('HSET', key('event', id), 'token', token)
  end
  look(e, ms(now + e.delay))
  return {'ok'}
end

function ops.cancel(id, now)
  local e = read(id)
  if not e then
    return {'missing'}
  end
  if e.state == 'scheduled' then
    finish(e, 'cancelled', now, '', '')
  elseif e.state ~= 'cancelled' then
    return {'state', e.state}
  end
  return {'ok'}
end

-- displace ROOM TYPE KEY USER WHY NOW AFTER LIMIT goes through a part and says
-- how many it has cancelled and where to go on, "" at the end.
function ops.displace(room, typ, state_key, user, why, now, after, limit)
  local from = '-'
  if after ~= '' then
    from = '(' .. after
  end
  local n, ids = 0, call('ZRANGEBYLEX', keySet(room, typ, state_key), from, '+', 'LIMIT', 0, limit)
  for _, id in ipairs(ids) do
    local e = read(id)
    if e and e.state == 'scheduled' and e.user ~= user then
      finish(e, 'cancelled', now, '', why)
      n = n + 1
    end
  end
  if #ids < tonumber(limit) then
    return {'ok', n, ''}
  end
  return {'ok', n, ids[#ids]}
end

-- claim NOW AT LIMIT
function ops.claim(now, at, limit)
  local answer = {'ok'}
  for _, id in ipairs(call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, limit)) do
    local e = read(id)
    if e then
      answer[#answer + 1] = claim(e, now, at)
    else
      call('ZREM', due, id) -- the event was lost by Redis: it may not block the others
    end
  end
  return answer
end

-- claim_one ID NOW AT
function ops.claim_one(id, now, at)
  local e = read(id)
  if not e then
    return {'missing'}
  end
  if e.state ~= 'scheduled' then
    return {'state', e.state}
  end
  return {'ok', claim(e, now, at)}
end

function ops.release(id, turn, at, state)
  local e = read(id)
  if not e then
    return {'missing'}
  end
  if e.state ~= 'sending' and e.state ~= 'scheduled' then
    return {'state', e.state}
  end
  if e.state ~= 'sending' or e.turn ~= tonumber(turn) then
    return {'turn'}
  end
  call('HSET', key('event', id), 'state', state)
  look(e, at)
  return {'ok'}
end

function ops.finish(id, state, event_id, err, now)
  local e = read(id)
  if not e then
    return {'missing'}
  end
  if e.state ~= 'sending' then
    return {'state', e.state}
  end
  finish(e, state, now, event_id, err)
  return {'ok'}
end

function ops.next()
  return {'ok', first(due)}
end

function ops.beat(now)
  local last = call('GET', beat) or ''
  if now ~= '' then
    call('SET', beat, now)
  end
  return {'ok', last}
end

-- early TIME lists what is to be looked at before.
function ops.early(time)
  return {'ok', call('ZRANGEBYSCORE', due, '-inf', '(' .. time)}
end

-- grace NOW MOST ID …
function ops.grace(now, most, ...)
  local n = 0
  for _, id in ipairs({...}) do
    local e = read(id)
    if e and e.state == 'scheduled' then
      local at = now + math.min(e.delay, tonumber(most))
      if e.at < at then
        look(e, ms(at))
        n = n + 1
      end
    end
  end
  return {'ok', n}
end

-- prune BEFORE KEEP LIMIT
function ops.prune(before, keep, limit)
  local n = math.max(call('ZCOUNT', final, '-inf', '(' .. before), call('ZCARD', final) - keep)
  n = math.min(n, tonumber(limit))
  if n <= 0 then
    return {'ok', 0}
  end
  for _, id in ipairs(call('ZRANGE', final, 0, n - 1)) do
    local e = read(id)
    if e then
      call('ZREM', key('past', e.user), id)
      if e.txn and call('HGET', txns, e.txn) == id then
        call('HDEL', txns, e.txn)
      end
    end
    call('DEL', key('event', id))
    call('ZREM', final, id)
  end
  return {'ok', n}
end

return ops[ARGV[1]](unpack(ARGV, 2))
