"""The scripts that keep the record of who was announced as online: nothing in them is divided.

| key (`Names`) | what |
| --- | --- |
| `announced` | hash: each user who was announced as online, and the shares that have the user |
| `shares` | sorted set of shares by when they expire, by Redis' clock in ms; a share is a pod's |
| `share` | sorted set of the users of one share |
| `presence_events` | stream of the announcements |
| `presence_state` | hash: see below |

Under an empty name `announced` has the epoch, as a sign that it is whole.

A pod that has stopped leaves `<share> <reason>` in `shares`, with the reason for its users.

| field | what |
| --- | --- |
| `epoch` | `<number>-<random>`: another one means that Redis has lost the record, or went back |
| `looked` | when a pod last looked, in ms |
| `since` | since when pods have looked without a pause, in ms |
| `number` | how many announcements there were |
| `sequence` | that of the last announcement |
| `writes <share>` | how often its pod wrote it or looked: it finds out that Redis went back |
| `doubted <share>` | the share was there when Redis went `back`, or when `announced` was `lost` |

A share that has expired is removed only if pods have looked for a share's lifetime without a pause:
after an outage of Redis every share has expired, and their pods need time to say that they live.

After Redis went back, users of doubted shares may have been announced as offline since the state
that Redis went back to. So a user who arrives and is in no other share is announced as online
again. A pod whose share is doubted writes its users into a new one.

What is announced is appended first: a Redis that is full refuses the append before anything else is
changed. It is published last: a user who may not publish has still changed the record once.
"""

from __future__ import annotations

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

_ANNOUNCING = """
local announced, state, stream = KEYS[3], KEYS[4], KEYS[5]
local channel, max_entries = ARGV[2], ARGV[3]
local counted = redis.call('HMGET', state, 'number', 'sequence')
local number, sequence = tonumber(counted[1] or 0), tonumber(counted[2] or 0)
local online, offline = 0, 0
local function append(user, status, reason)
  number = number + 1
  -- From the clock, so that it goes on rising where all is lost that knew it.
  sequence = math.max(sequence + 1, time[1] * 1000000 + time[2])
  local text = string.format('%.0f', sequence)
  local message = '{"userId":' .. cjson.encode(user) .. ',"status":"' .. status .. '","at":'
    .. string.format('%.0f', now) .. ',"reason":' .. cjson.encode(reason)
    .. ',"sequence":' .. text .. '}'
  redis.call('XADD', stream, 'MAXLEN', '~', max_entries, '*', 'data', message, 'number', number)
  redis.call('HSET', state, 'number', number, 'sequence', text)
  return message
end
local function pod_of(share)
  return string.match(share, '^(.*)%.%d+$') or share
end
local function without(shares, is_meant)
  local left = {}
  for one in string.gmatch(shares or '', '%S+') do
    if not is_meant(one) then left[#left + 1] = one end
  end
  return table.concat(left, ' ')
end
-- Its earlier shares too: of one that was lost nobody else would take the user out.
local function of_its_pod(share)
  local pod = pod_of(share)
  return function(one) return pod_of(one) == pod end
end
local is_doubtful = {}
local function is_doubted(one)
  if is_doubtful[one] == nil then
    is_doubtful[one] = redis.call('HGET', state, 'doubted ' .. one) ~= false
  end
  return is_doubtful[one]
end
local function arrive(user, shares, key, share, reason, has_stayed)
  local message
  if not shares or not has_stayed and without(shares, is_doubted) == '' then
    message = append(user, 'online', reason)
  end
  local others = without(shares, of_its_pod(share))
  redis.call('HSET', announced, user, others == '' and share or others .. ' ' .. share)
  redis.call('ZADD', key, 0, user)
  if message then
    online = online + 1
    redis.call('PUBLISH', channel, message)
  end
end
local function leave(user, shares, key, is_meant, reason, is_certain)
  local message
  local others = without(shares, is_meant)
  if others == '' and (shares or is_certain) then message = append(user, 'offline', reason) end
  if others ~= '' then
    redis.call('HSET', announced, user, others)
  elseif shares then
    redis.call('HDEL', announced, user)
  end
  redis.call('ZREM', key, user)
  if message then
    offline = offline + 1
    redis.call('PUBLISH', channel, message)
  end
end
"""

WRITE = f"""
{_NOW}
{_ANNOUNCING}
local share = ARGV[1]
local is_whole = redis.call('HGET', announced, '') == redis.call('HGET', state, 'epoch')
local writes = tonumber(redis.call('HGET', state, 'writes ' .. share) or 0) + 1
if not is_whole or not redis.call('ZSCORE', KEYS[1], share) or writes <= tonumber(ARGV[4]) then
  return {{0, 0, 0, 0, '0'}}
end
local users = {{}}
for i = 5, #ARGV, 3 do users[#users + 1] = ARGV[i + 1] end
local known = redis.call('HMGET', announced, unpack(users))
for i = 5, #ARGV, 3 do
  local kind, user, reason = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local shares = known[(i - 2) / 3]
  if kind == '+' or kind == '=' then
    arrive(user, shares, KEYS[2], share, reason, kind == '=')
  else
    leave(user, shares, KEYS[2], of_its_pod(share), reason, kind == '!')
  end
end
redis.call('HSET', state, 'writes ' .. share, writes)
return {{1, online, offline, writes, string.format('%.0f', sequence)}}
"""
"""Keys: shares, share, announced, state, stream. Arguments: share, channel, most entries, how
often the share was written as far as its pod knows, then kind, user and reason of each change.
Answers whether the share is there as its pod knows it (else nothing is done), how many were
announced as online and as offline, how often the share was written, and the last sequence."""

REMOVE = f"""
{_NOW}
{_ANNOUNCING}
local entry, most, cursor = ARGV[1], tonumber(ARGV[4]), ARGV[6]
local until_ms = redis.call('ZSCORE', KEYS[1], entry)
if not until_ms or tonumber(until_ms) > now then return {{false, 0, 0}} end
local share, reason = string.match(entry, '^(%S+) ?(.*)$')
-- With that reason its pod has withdrawn it, which announces itself who has left.
local is_certain = reason ~= ARGV[5] and redis.call('HGET', state, 'doubted ' .. share) == 'lost'
if reason == '' then reason = ARGV[5] end
local function is_expired(one) return one == share end
local users = {{}}
if cursor == '' then
  users = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '+inf', 'LIMIT', 0, most)
end
if #users > 0 then
  local known = redis.call('HMGET', announced, unpack(users))
  for i, user in ipairs(users) do leave(user, known[i], KEYS[2], is_expired, reason, is_certain) end
  if #users == most then return {{'', online, offline}} end
else
  -- A pod without users, or its set was evicted: `announced` names the share too. Who may not HSCAN
  -- has to do without.
  local found = redis.pcall('HSCAN', announced, cursor == '' and '0' or cursor, 'COUNT', 5 * most)
  local fields = found[2] or {{}}
  for i = 1, #fields, 2 do
    local user, shares = fields[i], fields[i + 1]
    if user ~= '' and without(shares, is_expired) ~= shares then
      leave(user, shares, KEYS[2], is_expired, reason, false)
    end
  end
  if found[1] and found[1] ~= '0' then return {{found[1], online, offline}} end
end
redis.call('ZREM', KEYS[1], entry)
redis.call('HDEL', state, 'writes ' .. share, 'doubted ' .. share)
return {{false, online, offline}}
"""
"""Keys as above. Arguments: the expired entry of `shares`, channel, most entries in the stream,
users to remove at most, the reason where the entry has none, and where to go on: empty at first.
Answers where to go on, or nothing where all is done, and the two counts."""

LOOK = f"""
{_NOW}
local share, lifetime, pause = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local known, known_writes, known_until = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
if redis.call('ZCARD', KEYS[1]) == 0 then
  -- There is no record yet, or it was evicted: what was written is named by `state` too.
  local fields = redis.call('HGETALL', KEYS[3])
  for i = 1, #fields, 2 do
    local one = string.match(fields[i], '^writes (%S+)$')
    if one then redis.call('ZADD', KEYS[1], now + lifetime, one) end
  end
end
local own = 'writes ' .. share
local kept = redis.call('HMGET', KEYS[3], 'epoch', 'looked', 'since', own, 'sequence')
local mark = redis.call('HGET', KEYS[4], '')
local until_ms, writes = redis.call('ZSCORE', KEYS[1], share), tonumber(kept[4] or 0) + 1
local function number_of(epoch) return tonumber(string.match(epoch or '', '^(%d+)%-') or 0) end
-- Without its mark `announced` is lost, or was written by a release that set none.
local is_whole = mark and kept[1]
local has_gone_back = false
if is_whole and known ~= '' then
  if kept[1] ~= known then
    has_gone_back = number_of(kept[1]) < number_of(known)
  elseif until_ms then
    has_gone_back = writes <= known_writes
  else
    has_gone_back = now < known_until
  end
end
local doubt = has_gone_back and 'back' or kept[1] and not mark and 'lost'
if doubt then
  -- Others' shares too: of those of dead pods nobody else would find it out.
  for _, entry in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '+inf')) do
    redis.call('HSET', KEYS[3], 'doubted ' .. string.match(entry, '^%S+'), doubt)
  end
end
local epoch = kept[1]
if not is_whole or has_gone_back then
  epoch = math.max(number_of(kept[1]), number_of(known)) + 1 .. '-' .. ARGV[4]
end
local looked, since = tonumber(kept[2] or 0), tonumber(kept[3] or 0)
if now + pause < looked then
  -- The clock went back: what was to expire would last for too long.
  for _, one in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '+inf')) do
    redis.call('ZADD', KEYS[1], now + lifetime, one)
  end
end
if math.abs(now - looked) > pause then since = now end
redis.call('HSET', KEYS[3], 'epoch', epoch, 'looked', now, 'since', since)
if mark ~= epoch then redis.call('HSET', KEYS[4], '', epoch) end
if until_ms or known == '' then
  redis.call('ZADD', KEYS[1], now + lifetime, share)
  redis.call('HSET', KEYS[3], own, writes)
end
local sequence, known_sequence = tonumber(kept[5] or 0), tonumber(ARGV[8])
if sequence < known_sequence then
  -- Redis has lost it. Others may have announced something since this pod looked.
  sequence = known_sequence + 1000 * pause
  redis.call('HSET', KEYS[3], 'sequence', string.format('%.0f', sequence))
end
local expired = ''
if now - since >= lifetime then
  expired = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 1)[1] or ''
end
local users = redis.call('ZCARD', KEYS[2])
local text = string.format('%.0f', sequence)
return {{until_ms and 1 or 0, epoch, users, expired, writes, now + lifetime, text}}
"""
"""Keys: shares, share, state, announced. Arguments: share, lifetime in ms, the longest pause
between looks in ms, a random name for a new epoch, then what the pod knows of its share: the epoch,
how often it was written, when it expires in ms; an empty epoch registers the share; and the last
sequence that the pod knows. Answers whether the share was registered, the epoch, how many users the
share has, an expired entry of `shares` or nothing, how often the share was written, when it
expires, and the last sequence.

Redis has gone back where the share was written less often than its pod knows, is not there and
cannot have expired, or where the epoch is an earlier one. The first pod that finds it out doubts
all shares and begins a new epoch, by which the others know."""

WITHDRAW = f"""
{_NOW}
if redis.call('ZREM', KEYS[1], ARGV[1]) == 1 then
  redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1] .. ' ' .. ARGV[3])
end
"""
"""Key: shares. Arguments: share, how long its users have to be back, in ms, the reason for those
who are not."""

POSTING = f"""
{_NOW}
local token, lease = ARGV[1], tonumber(ARGV[2])
local kept = redis.call('HMGET', KEYS[1], 'holder', 'until', 'id', 'number')
local until_ms = tonumber(kept[2] or 0)
-- A lease that ends later than any could is of a clock that went back.
local is_held = until_ms > now and until_ms <= now + lease
if is_held and kept[1] ~= token then return false end
local id, number = kept[3] or '0-0', tonumber(kept[4] or 0)
if kept[1] == token and ARGV[3] ~= '' then id, number = ARGV[3], tonumber(ARGV[4]) end
local last = tonumber(redis.call('HGET', KEYS[3], 'number') or 0)
if last < number then id, number = '0-0', 0 end
redis.call('HSET', KEYS[1], 'holder', token, 'until', now + lease, 'id', id, 'number', number)
local entries = redis.call('XRANGE', KEYS[2], '(' .. id, '+', 'COUNT', ARGV[5])
return {{number, last, entries}}
"""
"""Keys: posting, stream, state. Arguments: the lease's token, its length in ms, ID and number of
the last entry that was accepted or nothing, entries to read at most. Answers nothing where another
pod has the lease; else the number of the last accepted entry and of the last one, and the next
entries."""

RELEASE = """
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] then return end
redis.call('HSET', KEYS[1], 'until', 0)
if ARGV[2] ~= '' then redis.call('HSET', KEYS[1], 'id', ARGV[2], 'number', ARGV[3]) end
"""
"""Key: posting. Arguments: the lease's token, which is let go, ID and number as above."""
