"""The scripts that keep the log's state: each step that must not be divided runs inside Redis.

Those that change its entries are in `append_scripts`.

State of the log, a hash (`Names.state`):

| field | what |
| --- | --- |
| `epoch` | name of this history of the log: a number that rises, and a random part |
| `start`, `reason` | last ID when the epoch began, and why it did |
| `begun` | when it began, by Redis' clock in ms |
| `watched` | run ID of the Redis up to whose start some pod has seen every entry |
| `trimmed` | all entries up to this ID may have been removed by the recorder |
| `removed`, `last` | entries removed so far and the last ID, when the recorder last looked |
| `gone` | the entries removed so far while `removed` says `packed 1`, see below |
| `packing` | since when `removed` says that, by Redis' clock in ms |
| `packs` | whether appends are packed, as the recorder was last answered: `now`, `off`, `waits` |
| `packed` | the last packed entry |
| `extra` | messages in packed entries so far, beyond one for each entry |
| `counts` | IDs, and how many messages had been appended up to each |
| `holder`, `until` | ID of the recorder's lease, and its end by Redis' clock in ms |
| `place`, `placed` | position of the stream before which all is recorded, and the last ID then |
| `senior`, `since` | of the candidates that wait, the one that was subscribed first, and when |
| `entered`, `seen` | since when this is known, and when it last asked |
| `sessions <pod>` | number of the pod's last write of sessions: see `session_mark` |
| `late` | how many recorders had not been subscribed all the time since the one before |
| `listeners` | the pods that subscribe to the channels of events: see `seats` |
| `partitions` | of the first partition: how many are in use; absent for one |
| `widens` | since when all living pods follow more than that, by Redis' clock in ms |

While the log may hold packed entries, `removed` says `packed 1`. A release that cannot read these
compares `removed` with a number: it finds the log damaged, and ends the epoch before it serves any
session. See docs/decisions/0015-packed-entries.md.

The hash never expires, and an epoch begins with a stream that exists, though it may be empty: a
Redis Cluster that moves the slot answers TRYAGAIN to a script one of whose keys does not exist.
"""

from __future__ import annotations

from constellation_ws.log.seats import RETURN_SECONDS, SEATS, Seat

LIBRARY = """
local function inspect(key)
  local found = {['last-generated-id'] = '0-0', ['entries-added'] = 0, ['length'] = 0}
  local info = redis.pcall('XINFO', 'STREAM', key)
  if info.err then
    if not string.find(info.err, 'no such key', 1, true) then error(info) end
    return found
  end
  found.exists = true
  for i = 1, #info, 2 do found[info[i]] = info[i + 1] end
  return found
end
local function removed(found)
  return string.format('%.0f', found['entries-added'] - found['length'])
end
local function is_later(a, b)
  local a_ms, a_seq = string.match(a, '^(%d+)-(%d+)$')
  local b_ms, b_seq = string.match(b, '^(%d+)-(%d+)$')
  if a_ms ~= b_ms then return tonumber(a_ms) > tonumber(b_ms) end
  -- Sequence numbers may be larger than Lua's are exact.
  if #a_seq ~= #b_seq then return #a_seq > #b_seq end
  return a_seq > b_seq
end
local function has(key, id)
  return #redis.call('XRANGE', key, id, id) > 0
end
-- Which start of which Redis this is; empty where a user may not ask.
local function run_id()
  local info = redis.pcall('INFO', 'server')
  if type(info) ~= 'string' then return '' end
  return string.match(info, 'run_id:(%w+)') or ''
end
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
-- Why entries that should be there are not; empty where they are.
local function damage(state, log, found)
  local kept = redis.call('HMGET', state, 'removed', 'last', 'trimmed', 'gone')
  if not kept[1] then return '' end
  local count = kept[1] == 'packed 1' and kept[4] or kept[1]
  if removed(found) ~= count then return 'removed' end
  if is_later(kept[2], found['last-generated-id']) then return 'rolled_back' end
  if is_later(kept[2], kept[3]) and not has(log, kept[2]) then return 'removed' end
  return ''
end
"""

REQUEST_LEASE = (
    LIBRARY
    + SEATS
    + """
local lease_id, lease, instance = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local patience, since = tonumber(ARGV[4]), tonumber(ARGV[5])
local state = redis.call(
  'HMGET', KEYS[1], 'epoch', 'place', 'holder', 'until', 'senior', 'since', 'seen', 'placed',
  'entered', 'late', 'listeners', 'begun', 'partitions')
local epoch, place, placed = state[1] or '', state[2] or '', state[8] or '0-0'
local holder, late, begun = state[3] or '', state[10] or '0', tonumber(state[12] or '0')
local now, ends = now_ms(), tonumber(state[4] or '0')
local seats, partitions = listed(state[11], now), tonumber(state[13] or '1')
if begun > now then begun = 0 end
-- Whether a listener has died with what may be recorded nowhere, if this pod, which has missed it,
-- records next.
local function would_miss(next_late)
  local former = string.match(holder, FORM)
  if former and former ~= instance and ends > begun and not find(seats, former) then
    -- A recorder of a release that knows no seats.
    seats[#seats + 1] = {pod = former, ends = ends, since = 0, given = ends, resolved = late}
  end
  return count(seats, instance, function(one) return owed(one, now, next_late) end) > 0
end
local function ask()
  -- Further away than any lease reaches: Redis' clock was set back.
  if ends > now + lease then ends = now end
  if holder ~= '' and ends > now then return 0 end
  local next_late = ARGV[6] == '1' and string.format('%.0f', late + 1) or late
  if patience > 0 then
    if next_late ~= late and would_miss(next_late) then patience = patience + RETURN_MS end
    -- Others may have what this pod missed, so they go first; then the one that waits longest.
    since = now - since
    local age = now - (tonumber(state[7] or '') or 0)
    local is_alive = state[5] and state[5] ~= '' and age >= 0 and age < 1500
    local is_other = is_alive and state[5] ~= instance
    -- Each question is under way for another time: the shortest counts. Else pods that have begun
    -- together would go before each other in turn, and none would ever have waited long enough.
    if is_alive and not is_other then since = math.min(since, tonumber(state[6])) end
    if is_other and tonumber(state[6]) <= since then return 0 end
    local entered = is_alive and not is_other and tonumber(state[9] or '') or now
    if entered > now then entered = now end
    redis.call(
      'HSET', KEYS[1], 'senior', instance, 'since', string.format('%.0f', since),
      'seen', string.format('%.0f', now), 'until', string.format('%.0f', ends),
      'entered', string.format('%.0f', entered))
    -- From when this could be written: all others ask meanwhile. Before, the lease may have ended
    -- long ago, and Redis may have refused to write who waits longest.
    if now - entered < patience then return 0 end
  end
  late, holder, ends = next_late, lease_id, now + lease
  redis.call(
    'HSET', KEYS[1], 'holder', holder, 'until', string.format('%.0f', ends), 'senior', '',
    'late', late)
  return 1
end
local claim = {
  pod = ARGV[7], stand = ARGV[8], most = tonumber(ARGV[9]), resolved = ARGV[11],
  since = ARGV[10] == '' and 0 or now - tonumber(ARGV[10]),
  may_stop = ARGV[12] == '1', alive = tonumber(ARGV[13])}
if epoch == '' then
  local seat = claim.stand == 'looks' and LACKING or HELD
  return {0, epoch, place, placed, holder, late, seat, 0, 0, 0, 0, partitions, 0}
end
if tonumber(ARGV[14]) > partitions then
  -- Redis has lost the number. Before the lease is granted: who knows no more must not be told that
  -- a recorder divides events among fewer.
  partitions = tonumber(ARGV[14])
  redis.pcall('HSET', KEYS[1], 'partitions', ARGV[14])
end
local granted = lease_id == '' and 0 or ask()
local recorder = ends > now and string.match(holder, FORM)
local seat, others, coming, leaving, lost = sit(seats, state[11], claim, now, late, recorder)
local is_free = (holder == '' or ends <= now) and 1 or 0
return {
  granted, epoch, place, placed, holder, late, seat, others, coming, leaving, lost, partitions,
  is_free}
""".replace("FORM", "'^(.*)%.%d+$'")
    .replace("LACKING", str(Seat.LACKING.value))
    .replace("HELD", str(Seat.HELD.value))
    .replace("RETURN_MS", f"{RETURN_SECONDS * 1000:.0f}")
)
"""KEYS: state. ARGV: lease ID (empty only asks), lease ms, instance, patience ms, ms waited, 1 if
it is late; then what `Claim.words` gives, and how many partitions it knows to be in use.

Returns {1 for granted, epoch, recorded position, last ID then, holder, late recorders so far}, what
`SeatReply` has, how many partitions are in use, and 1 where nobody holds the lease."""

RELEASE = (
    LIBRARY
    + """
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'holder', '', 'until', string.format('%.0f', now_ms()))
return 1
"""
)
"""KEYS: state. ARGV: lease ID."""

LOOK = (
    LIBRARY
    + """
local state = redis.call(
  'HMGET', KEYS[2], 'epoch', 'start', 'reason', 'trimmed', 'begun', 'watched', ARGV[2])
local found = inspect(KEYS[1])
local seen = ARGV[1]
local is_there = seen == '0-0' or has(KEYS[1], seen)
return {
  state[1] or '', state[2] or '0-0', state[3] or '', state[4] or '0-0',
  found['last-generated-id'], is_there and 1 or 0, damage(KEYS[2], KEYS[1], found),
  math.max(0, now_ms() - tonumber(state[5] or '0')), run_id(), state[6] or '', state[7] or '0'}
"""
)
"""KEYS: log, state. ARGV: last ID that this pod has delivered, the field of its session mark.
Writes nothing.

Returns {epoch, start, reason, trimmed, last ID, 1 where the delivered entry is there, damage,
age of the epoch in ms, run ID, the run ID up to which it is watched, session mark}."""

REPLACE = (
    LIBRARY
    + SEATS
    + """
local kept = redis.call('HMGET', KEYS[2], 'epoch', 'listeners', 'placed')
local epoch, now = kept[1] or '', now_ms()
if epoch ~= ARGV[1] then return 0 end
local name = string.format('%.0f-%s', math.max(now, tonumber(ARGV[4]) + 1), ARGV[2])
if not inspect(KEYS[1]).exists then
  redis.call('XADD', KEYS[1], '0-1', 'epoch', name)
  redis.call('XTRIM', KEYS[1], 'MAXLEN', 0)
end
local found = inspect(KEYS[1])
local last = found['last-generated-id']
redis.call(
  'HSET', KEYS[2], 'epoch', name, 'reason', ARGV[3], 'start', last, 'trimmed', last,
  'removed', removed(found), 'last', last, 'begun', string.format('%.0f', now),
  'watched', run_id(), 'listeners', written(still_held(listed(kept[2], now), now)))
redis.call('HDEL', KEYS[2], 'gone', 'packing', 'packs', 'packed')
local fields = redis.call('HGETALL', KEYS[2])
for i = 1, #fields, 2 do
  if string.sub(fields[i], 1, 9) == 'sessions ' then redis.call('HDEL', KEYS[2], fields[i]) end
end
if epoch == '' then
  redis.call('HSET', KEYS[2], 'holder', '', 'until', string.format('%.0f', now))
end
if epoch == '' or is_later(kept[3] or '0-0', last) then
  -- Of a log that was longer, or of none.
  redis.call('HSET', KEYS[2], 'place', '', 'placed', '0-0')
end
return 1
"""
)
"""KEYS: log, state. ARGV: the epoch that is to end (empty: there is none), the random part of the
new one, why, the number that the new one has to exceed.

Returns 1 where it was replaced, 0 where another pod was faster."""

CONFIRM_WATCHED = """
if redis.call('HGET', KEYS[1], 'epoch') == ARGV[1] then
  redis.call('HSET', KEYS[1], 'watched', ARGV[2])
end
return 0
"""
"""KEYS: state. ARGV: the epoch, the run ID up to whose start a pod has seen every entry of it."""

WIDEN = (
    LIBRARY
    + """
local state = redis.call('HMGET', KEYS[1], 'holder', 'partitions', 'epoch', 'widens')
local width, wanted = tonumber(state[2] or '1'), tonumber(ARGV[2])
if width >= wanted or (state[3] or '') == '' then return width end
local now = now_ms()
local function all_follow()
  local follows, own, has_own = {}, string.match(ARGV[1], '^(.*)%.'), false
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', '+inf')) do
    local count, pod = string.match(member, '^(%d+) (.*)$')
    if pod then follows[pod] = tonumber(count) end
  end
  local pods = redis.call('ZRANGEBYSCORE', KEYS[2], string.format('%.3f', now / 1000), '+inf')
  for _, pod in ipairs(pods) do
    if (follows[pod] or 1) < wanted then return false end
    if pod == own then has_own = true end
  end
  -- Where this pod is not among them, others may be missing as well.
  return has_own
end
if state[1] ~= ARGV[1] then return width end
if not all_follow() then
  redis.call('HDEL', KEYS[1], 'widens')
  return width
end
local since = tonumber(state[4] or '')
if not since then
  redis.call('HSET', KEYS[1], 'widens', string.format('%.0f', now))
  since = now
end
-- A pod that has read the state just before appears among the pods within this time.
if math.abs(now - since) < tonumber(ARGV[3]) then return width end
redis.call('HSET', KEYS[1], 'partitions', ARGV[2])
redis.call('HDEL', KEYS[1], 'widens')
return wanted
"""
)
"""KEYS: state of the first partition, pods that are alive, how many partitions each follows. ARGV:
ID of the recorder's lease, how many partitions are wanted, ms for which all pods have to follow so
many.

Returns how many are in use now."""
