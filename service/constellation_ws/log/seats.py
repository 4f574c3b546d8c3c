"""Seats: which pods subscribe to the channels of events, as Redis keeps it.

A pod that has a seat is a listener. It receives events from Pub/Sub, and so is the recorder or a
candidate for it. All others follow the log alone. The state of the log has the list of seats; the
script by which every pod asks for the lease keeps it (`REQUEST_LEASE`). This module has its part
of that script, and what a pod and Redis say to each other with it.

A seat expires if it is not renewed. Its entry remains for some time: its pod may have received what
nobody has recorded. See `owed` in the script.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

SEAT_SECONDS = 2.0
"""A dead listener is replaced as soon as a dead recorder's lease has expired."""
_COMING_SECONDS = 1.5
"""A pod that has just got a seat has subscribed by then, or does not count."""
RETURN_SECONDS = 1.5
"""How long a candidate that missed something waits for a listener whose seat has expired: after
Redis was away all seats have, and each listener renews its own within this time."""
_FORGET_SECONDS = 60.0
"""By then every pod that lives has seen that a listener has died."""


class Stand(Enum):
    """What a pod says of itself."""

    LOOKS = "looks"
    """It does not listen, and only wants to know."""
    WANTS = "wants"
    """It does not listen, and would: when it last looked, too few did."""
    LISTENS = "listens"
    LEAVES = "leaves"
    """It listens, and will stop for good: others are needed in its place."""
    GONE = "gone"
    """It has stopped, and all that it received is recorded."""


class Seat(Enum):
    """What Redis says to that."""

    REFUSED = 0
    """Enough others listen. A listener has no seat any more, and must stop."""
    HELD = 1
    """Listen."""
    LACKING = 2
    """Too few listen; the pod did not want a seat."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a pod says of itself when it asks."""

    instance: str
    stand: Stand
    most: int
    """How many pods should listen."""
    listening_seconds: float | None = None
    """For how long it has received events without a gap; None while it does not."""
    resolved: int = 0
    """Of how many late recorders (`LeaseReply`) it knows that nothing that it had received before
    them is lost, or has reported it."""
    may_stop: bool = False
    """Whether others have all that it has, if they have listened for longer."""
    alive_seconds: float = 0.0
    """For how long it may have had clients."""

    def words(self) -> list[str | int]:
        """Give it as arguments of the script."""
        listening = self.listening_seconds
        return [
            self.instance,
            self.stand.value,
            self.most,
            "" if listening is None else int(listening * 1000),
            self.resolved,
            "1" if self.may_stop else "",
            int(self.alive_seconds * 1000),
        ]


NO_CLAIM = Claim("", Stand.LOOKS, 0)
"""Of who asks for the lease only."""


@dataclass(frozen=True, slots=True)
class SeatReply:
    """What Redis says of the seats."""

    seat: Seat
    others: int
    """Other pods that receive events and do not leave."""
    coming: int
    """Other pods that have just got a seat."""
    leaving: int
    """Other pods that receive events and leave."""
    vanished: int
    """Listeners that have died with what nobody may have recorded, while this pod lived."""


def listeners(text: str, now_ms: float) -> list[str]:
    """Name the pods that have a seat, in the list as the log's state has it."""
    words = text.split()
    size = 6  # see `listed` in the script
    pods = zip(words[::size], words[1::size], strict=False)
    return [pod for pod, ends in pods if ends.isdigit() and int(ends) > now_ms]


SEATS = """
-- The list of seats: pod, when it expires, since when it receives events (0: not now), when it was
-- given, of how many late recorders it knows that nothing is lost, and whether the pod leaves.
local function listed(text, now)
  local seats = {}
  local form = '(%S+) (%d+) (%d+) (%d+) (%d+) (%d)'
  for pod, ends, since, given, resolved, leaves in string.gmatch(text or '', form) do
    seats[#seats + 1] = {
      -- Further away than any reaches: Redis' clock was set back since.
      pod = pod, ends = math.min(tonumber(ends), now + SEAT_MS),
      since = tonumber(since), given = tonumber(given), resolved = resolved, leaves = leaves == '1'}
  end
  return seats
end
local function written(seats)
  local texts = {}
  for i, one in ipairs(seats) do
    texts[i] = string.format(
      '%s %.0f %.0f %.0f %s %s', one.pod, one.ends, one.since, one.given, one.resolved,
      one.leaves and '1' or '0')
  end
  return table.concat(texts, ' ')
end
local function is_held(seat, now)
  return seat.ends > now
end
-- Whether its pod has died, and may have received what nobody has recorded: a pod that had not
-- listened all the time has become recorder since it was known that nothing is lost.
local function owed(seat, now, late)
  return not is_held(seat, now) and seat.resolved ~= late and now - seat.ends < FORGET_MS
end
-- Those that are left when an epoch begins: it reports what others owe. Not by the time at which it
-- began: Redis' clock may be set back.
local function still_held(seats, now)
  local found = {}
  for _, one in ipairs(seats) do
    if is_held(one, now) then found[#found + 1] = one end
  end
  return found
end
local function count(seats, own, is_counted)
  local found = 0
  for _, one in ipairs(seats) do
    if one.pod ~= own and is_counted(one) then found = found + 1 end
  end
  return found
end
local function find(seats, pod)
  for i, one in ipairs(seats) do
    if one.pod == pod then return one, i end
  end
end
-- Keep the seat of a pod as it claims, and answer it. `holder` is the pod that holds the lease.
local function sit(seats, text, claim, now, late, holder)
  local own, place = find(seats, claim.pod)
  local function listens(one)
    return one.since > 0 and not one.leaves and is_held(one, now)
  end
  local function comes(one)
    local age = now - one.given
    return one.since == 0 and not one.leaves and is_held(one, now) and age >= 0 and age < COMING_MS
  end
  local others = count(seats, claim.pod, listens)
  local coming = count(seats, claim.pod, comes)
  local leaving = count(seats, claim.pod, function(one)
    return one.since > 0 and one.leaves and is_held(one, now)
  end)
  local is_lacking = others + coming < claim.most
  local lost = count(seats, claim.pod, function(one)
    return owed(one, now, late) and one.ends - SEAT_MS >= now - claim.alive
  end)
  local function goes_first(one)
    if not listens(one) then return false end
    if one.pod == holder or one.since < own.since then return true end
    return one.since == own.since and one.pod < own.pod
  end
  local seat = is_lacking and HELD or REFUSED
  if claim.stand == 'looks' then
    seat = is_lacking and LACKING or REFUSED
  elseif claim.stand == 'gone' then
    if place then table.remove(seats, place) end
  elseif claim.stand ~= 'wants' or is_lacking then
    if not place then
      place = #seats + 1
      own = {pod = claim.pod, given = now}
      seats[place] = own
    end
    own.ends, own.since, own.resolved = now + SEAT_MS, claim.since, claim.resolved
    own.given, own.leaves = math.min(own.given, now), claim.stand == 'leaves'
    seat = HELD
    if claim.may_stop and holder ~= claim.pod
      and count(seats, claim.pod, goes_first) >= claim.most then
      table.remove(seats, place)
      seat = REFUSED
    end
  end
  if holder == claim.pod then
    for i = #seats, 1, -1 do
      local one = seats[i]
      if not is_held(one, now) and not owed(one, now, late) then table.remove(seats, i) end
    end
  end
  local new = written(seats)
  if new ~= (text or '') and type(redis.pcall('HSET', KEYS[1], 'listeners', new)) == 'table' then
    -- Redis refuses to write: who listens, or would, listens nevertheless.
    if claim.stand == 'listens' or claim.stand == 'wants' and is_lacking then seat = HELD end
  end
  return seat, others, coming, leaving, lost
end
"""
for _word, _value in {
    "SEAT_MS": f"{SEAT_SECONDS * 1000:.0f}",
    "COMING_MS": f"{_COMING_SECONDS * 1000:.0f}",
    "FORGET_MS": f"{_FORGET_SECONDS * 1000:.0f}",
    **{one.name: str(one.value) for one in Seat},
}.items():
    SEATS = SEATS.replace(_word, _value)
