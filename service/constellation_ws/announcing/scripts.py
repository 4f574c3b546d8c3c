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
| `epoch` | random name of this record; another one means that Redis has lost all of it |
| `looked` | when a pod last looked, in ms |
| `since` | since when pods have looked without a pause, in ms |
| `number` | how many announcements there were |
| `sequence` | that of the last announcement |
| `writes <share>` | how often a share was written: its pod finds out that Redis went back |

A share that has expired is removed only if pods have looked for a share's lifetime without a pause:
after an outage of Redis every share has expired, and their pods need time to say that they live.

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
  -- From the clock, so that it goes on rising where Redis has lost what it was.
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
local function arrive(user, shares, key, share, reason)
  local message
  if not shares then message = append(user, 'online', reason) end
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
if not is_whole or not redis.call('ZSCORE', KEYS[1], share) then return {{0, 0, 0, 0}} end
local writes = tonumber(redis.call('HGET', state, 'writes ' .. share) or 0) + 1
local users = {{}}
for i = 4, #ARGV, 3 do users[#users + 1] = ARGV[i + 1] end
local known = redis.call('HMGET', announced, unpack(users))
for i = 4, #ARGV, 3 do
  local kind, user, reason = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local shares = known[(i - 1) / 3]
  if kind == '+' then
    arrive(user, shares, KEYS[2], share, reason)
  else
    leave(user, shares, KEYS[2], of_its_pod(share), reason, kind == '!')
  end
end
redis.call('HSET', state, 'writes ' .. share, writes)
return {{1, online, offline, writes}}
"""
"""Keys: shares, share, announced, state, stream. Arguments: share, channel, most entries, then
kind, user and reason of each change. Answers whether the share is there (else nothing is done), how
many were announced as online and as offline, and how often the share was written."""

REMOVE = f"""
{_NOW}
{_ANNOUNCING}
local entry, most = ARGV[1], tonumber(ARGV[4])
local until_ms = redis.call('ZSCORE', KEYS[1], entry)
if not until_ms or tonumber(until_ms) > now then return {{1, 0, 0}} end
local share, reason = string.match(entry, '^(%S+) ?(.*)$')
if reason == '' then reason = ARGV[5] end
local users = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '+inf', 'LIMIT', 0, most)
if #users > 0 then
  local known = redis.call('HMGET', announced, unpack(users))
  local function is_expired(one) return one == share end
  for i, user in ipairs(users) do leave(user, known[i], KEYS[2], is_expired, reason, false) end
end
if #users == most then return {{0, online, offline}} end
redis.call('ZREM', KEYS[1], entry)
redis.call('HDEL', state, 'writes ' .. share)
return {{1, online, offline}}
"""
"""Keys as above. Arguments: the expired entry of `shares`, channel, most entries in the stream,
users to remove at most, the reason where the entry has none. Answers whether nothing is left to do,
and the two counts."""

LOOK = f"""
{_NOW}
local share, lifetime, pause = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local kept = redis.call('HMGET', KEYS[3], 'epoch', 'looked', 'since')
local mark = redis.call('HGET', KEYS[4], '')
-- Without its mark `announced` is lost, or was written by a release that set none. `shares` has at
-- least one as long as there is a record: who removes the last other one has one itself.
local is_whole = mark and redis.call('ZCARD', KEYS[1]) > 0
local epoch = is_whole and kept[1] or ARGV[4]
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
local is_known = redis.call('ZSCORE', KEYS[1], share)
if is_known or ARGV[5] == '1' then redis.call('ZADD', KEYS[1], now + lifetime, share) end
local expired = ''
if now - since >= lifetime then
  expired = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 1)[1] or ''
end
local writes = tonumber(redis.call('HGET', KEYS[3], 'writes ' .. share) or 0)
return {{is_known and 1 or 0, epoch, redis.call('ZCARD', KEYS[2]), expired, writes}}
"""
"""Keys: shares, share, state, announced. Arguments: share, lifetime in ms, the longest pause
between looks in ms, a name for a new epoch, 1 to register the share. Answers whether the share was
registered, the epoch, how many users the share has, an expired entry of `shares` or nothing, and
how often the share was written."""

WITHDRAW = f"""
{_NOW}
if redis.call('ZREM', KEYS[1], ARGV[1]) == 1 then
  redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1] .. ' ' .. ARGV[3])
end
"""
"""Key: shares. Arguments: share, how long its users have to be back, in ms, the reason for those
who are not."""

SNAPSHOT = """
local shares = redis.call('HMGET', KEYS[1], unpack(ARGV))
for i, one in ipairs(shares) do shares[i] = one and 1 or 0 end
return {redis.call('HMGET', KEYS[2], 'sequence')[1] or '0', shares}
"""
"""Keys: announced, state. Arguments: users. Answers the last announcement's sequence, and of each
user whether it was announced as online by then."""

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
