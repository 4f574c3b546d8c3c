"""The scripts that append to the log and trim it. The state that they use: `scripts`."""

from __future__ import annotations

from constellation_ws.log.scripts import LIBRARY

LOST_LEASE = 0
DAMAGED = -1
NOT_PACKED = -2

MOST_ENTRIES = 100
"""In one reply; where there are so many, more may follow."""

_LAST_ID = """
-- The last ID of the log; nil where the entry that a pod has delivered is gone from it.
-- Nearly always that is the last one. It is not read, as a packed entry costs more to read than to
-- append: where others have removed it, and nothing came after it, XADD finds that the stream is
-- gone, or the next trim that an entry is.
local function last_id(log, seen, trimmed)
  local is_needed = is_later(seen, trimmed or '0-0')
  if #redis.call('XRANGE', log, '(' .. seen, '+', 'COUNT', 1) == 0 then return seen end
  if is_needed and not has(log, seen) then return nil end
  return redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1][1]
end
local function since(log, seen)
  return redis.call('XRANGE', log, '(' .. seen, '+', 'COUNT', MOST_ENTRIES)
end
""".replace("MOST_ENTRIES", str(MOST_ENTRIES))

APPEND = (
    LIBRARY
    + _LAST_ID
    + """
local state = redis.call('HMGET', KEYS[2], 'holder', 'trimmed')
if state[1] ~= ARGV[1] then return 0 end
local seen = ARGV[2]
local last = last_id(KEYS[1], seen, state[2])
if not last then return -1 end
if ARGV[3] ~= '' then
  redis.call(
    'HSET', KEYS[2], 'until', string.format('%.0f', now_ms() + tonumber(ARGV[3])),
    'place', ARGV[4], 'placed', last)
end
local ids = {}
for i = 5, #ARGV, 3 do
  local id = redis.call(
    'XADD', KEYS[1], 'NOMKSTREAM', '*', 'channel', ARGV[i], 'data', ARGV[i + 1],
    'at', ARGV[i + 2])
  if not id then return -1 end
  ids[#ids + 1] = id
end
if last == seen then return ids end
return since(KEYS[1], seen)
"""
)
"""KEYS: log, state. ARGV: lease ID, last ID that this pod has delivered, lease ms (empty where the
lease is not renewed), recorded position, then channel, data and position of each message.

Returns the new IDs, the entries since that last ID where there are others, or a number: 0 where the
lease is another's, -1 where what was delivered is gone from the log. Then nothing is appended.
"""

APPEND_PACKED = (
    LIBRARY
    + _LAST_ID
    + """
-- The ID of an entry of so many messages: those before its last have the numbers before.
local function packed_id(last, count)
  local ms, seq = string.match(last, '^(%d+)-(%d+)$')
  local now = now_ms()
  if now > tonumber(ms) then return string.format('%.0f-%.0f', now, count - 1) end
  -- Lua's numbers are exact up to there.
  if #seq < 15 then return string.format('%s-%.0f', ms, tonumber(seq) + count) end
  return string.format('%.0f-%.0f', ms + 1, count - 1)
end
local state = redis.call('HMGET', KEYS[2], 'holder', 'trimmed', 'removed', 'extra')
if state[1] ~= ARGV[1] then return 0 end
if state[3] ~= 'packed 1' then return -2 end
local seen, count = ARGV[2], tonumber(ARGV[3])
local last = last_id(KEYS[1], seen, state[2])
if not last then return -1 end
local id = packed_id(last, count)
local extra = tonumber(state[4] or '') or 0
local function text(number) return string.format('%.0f', number) end
if not redis.call(
  'XADD', KEYS[1], 'NOMKSTREAM', id, 'packed', ARGV[4], 'at', ARGV[5], 'extra', text(extra)) then
  return -1
end
redis.call('HSET', KEYS[2], 'packed', id, 'extra', text(extra + count - 1))
if last == seen then return id end
return since(KEYS[1], seen)
"""
)
"""KEYS: log, state. ARGV: lease ID, last ID that this pod has delivered, how many messages, these
messages packed, the position of the last of them.

Returns the ID of the entry, or what APPEND returns; or -2 where packed entries are not allowed now,
and nothing is appended.
"""

PERMIT_PACKING = (
    LIBRARY
    + """
local state = redis.call(
  'HMGET', KEYS[1], 'holder', 'removed', 'gone', 'packing', 'packed', 'trimmed', 'packs')
if state[1] ~= ARGV[1] or not state[2] then return 0 end
-- For people: only `status` reads it, so nothing depends on whether it can be written.
local function show(packs)
  if ARGV[2] == '' then packs = 'off' end
  if state[7] ~= packs then redis.pcall('HSET', KEYS[1], 'packs', packs) end
end
local now, can_read, has_own = now_ms(), true, not KEYS[2]
local own = string.match(ARGV[1], '^(.*)%.')
local pods = KEYS[2]
  and redis.call('ZRANGEBYSCORE', KEYS[2], string.format('%.3f', now / 1000), '+inf') or {}
for _, pod in ipairs(pods) do
  if pod == own then has_own = true end
  if not redis.call('ZSCORE', KEYS[3], pod) then can_read = false end
end
local is_marked = state[2] == 'packed 1'
local are_left = is_marked and state[5] and is_later(state[5], state[6] or '0-0')
-- Where this pod is not among them, others may be missing as well.
local is_wanted = can_read and has_own and ARGV[2] ~= ''
-- A pod of another release that looked at the log just before has shown itself after that time.
local may_pack = is_wanted and is_marked
  and math.abs(now - tonumber(state[4] or '0')) >= tonumber(ARGV[3])
show(may_pack and 'now' or 'waits')
if are_left and not can_read then return -1 end
if not is_wanted then
  if is_marked and not are_left then
    redis.call('HSET', KEYS[1], 'removed', state[3])
    redis.call('HDEL', KEYS[1], 'gone', 'packing')
  end
  return 0
end
if not is_marked then
  redis.call(
    'HSET', KEYS[1], 'gone', state[2], 'removed', 'packed 1',
    'packing', string.format('%.0f', now))
  return 0
end
return may_pack and 1 or 0
"""
)
"""KEYS: state, pods that are alive, pods that read packed entries; state alone for a further
partition, which only pods follow that read them. ARGV: lease ID, empty where packed entries are not
wanted, ms for which the log has to have been marked.

Marks the log as one that may hold packed entries, and removes the mark once it holds none and none
are to come. Returns 1 where the recorder may pack, 0 where it may not, and -1 where packed entries
are left that a living pod cannot read.
"""

TRIM = (
    LIBRARY
    + """
local state = redis.call(
  'HMGET', KEYS[2], 'holder', 'removed', 'trimmed', 'packed', 'extra', 'counts')
if state[1] ~= ARGV[1] then return 'lost' end
local found = inspect(KEYS[1])
local fault = damage(KEYS[2], KEYS[1], found)
if fault ~= '' then return fault end
local most, trimmed, mark = tonumber(ARGV[3]), state[3] or '0-0', nil
local function remove_by_age()
  local oldest = string.format('%.0f-0', math.max(0, now_ms() - tonumber(ARGV[2])))
  local gone = redis.call('XREVRANGE', KEYS[1], '(' .. oldest, '-', 'COUNT', 1)[1]
  mark = gone and gone[1]
  redis.call('XTRIM', KEYS[1], 'MINID', oldest)
end
local function remove_by_entries()
  if redis.call('XTRIM', KEYS[1], 'MAXLEN', ARGV[3]) == 0 then return end
  local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1][1]
  local ms, seq = string.match(first, '^(%d+)-(%d+)$')
  -- All before the first that is left; sequence numbers are larger than Lua's are exact.
  mark = string.format('%.0f-18446744073709551615', ms - 1)
  if seq ~= '0' then mark = string.format('%s-%.0f', ms, seq - 1) end
end
-- Remove what is above the number of messages, up to an ID up to which they were counted.
local function remove_by_messages(added)
  local cut, newest, kept = nil, 0, {}
  for id, count in string.gmatch(state[6] or '', '(%d+%-%d+) (%d+)') do
    local is_past = added - tonumber(count) >= most
    if is_past then cut = id else kept[#kept + 1] = id .. ' ' .. count end
    newest = tonumber(count)
  end
  -- More is counted than was added: that was before the stream was replaced.
  if newest > added then cut, newest, kept = nil, 0, {} end
  if added - newest >= math.max(1, most / 128) then
    kept[#kept + 1] = found['last-generated-id'] .. ' ' .. string.format('%.0f', added)
    redis.call('HSET', KEYS[2], 'counts', table.concat(kept, ' '))
  end
  local has_packed = state[4] and is_later(state[4], trimmed)
  if not (cut and has_packed and is_later(cut, mark or trimmed)) then return end
  local ms, seq = string.match(cut, '^(%d+)-(%d+)$')
  local after = #seq < 15 and string.format('%s-%.0f', ms, seq + 1) or cut
  redis.call('XTRIM', KEYS[1], 'MINID', after)
  mark = cut
end
remove_by_age()
remove_by_entries()
remove_by_messages(found['entries-added'] + (tonumber(state[5] or '') or 0))
if mark then redis.call('HSET', KEYS[2], 'trimmed', mark) end
found = inspect(KEYS[1])
local field = state[2] == 'packed 1' and 'gone' or 'removed'
redis.call('HSET', KEYS[2], field, removed(found), 'last', found['last-generated-id'])
return ''
"""
)
"""KEYS: log, state. ARGV: lease ID, window ms, most messages. Returns why not; empty if it did.

As long as there are packed entries, up to 1/128 more than the most messages are left.
"""

TRIM_UNRECORDED = (
    LIBRARY
    + """
local state = redis.call('HMGET', KEYS[2], 'holder', 'until')
local now = now_ms()
if state[1] and state[1] ~= '' and tonumber(state[2]) > now then return 0 end
return redis.call('XTRIM', KEYS[1], 'MINID', string.format('%.0f-0', math.max(0, now - ARGV[1])))
"""
)
"""KEYS: log, state. ARGV: window ms. Removes what is older, unless a recorder does that."""
