"""Who is in a world: clients of each kind on each kind of link, and whom events are for."""

from __future__ import annotations

from tests.chaos.clients import Client, Kind
from tests.chaos.events import Audience

GROUPS = ("frail", "stalling", "away")
SPARE_ROOMS = ("spare-0", "spare-1")
"""Joined and left again all the time."""
GIVEN_ROOMS = ("given-0", "given-1")
"""Into which only a backend puts users."""
_KINDS = (
    Kind("websocket", has_offsets=True),
    Kind("websocket", has_offsets=False),
    Kind("upgrading", has_offsets=True),
    Kind("websocket", has_offsets=True),
    Kind("polling", has_offsets=True),
    Kind("websocket", has_offsets=False),
    Kind("websocket", has_offsets=False, can_resume=False),
    Kind("upgrading", has_offsets=False),
)
_LINKS = (None, "stalling", "away", "frail", None, "away", "stalling")
"""In turn; as many as are prime to the number of kinds, so that each kind is on each link."""
_QUIET_ROOM = "quiet-room"


def populate(count: int, room_count: int) -> tuple[list[Client], Audience]:
    """Name the clients, and whom events are drawn for."""
    rooms = [f"room-{n}" for n in range(room_count)]
    clients = []
    users: dict[str, list[str]] = {"busy": [], "quiet": [], "never": []}
    for n in range(count):
        # Of eight five are busy, two are addressed now and then, and one never.
        habit = ("busy", "quiet", "busy", "busy", "never", "busy", "quiet", "busy")[n % 8]
        user = f"user-{n}"
        users[habit].append(user)
        mine = (rooms[n % room_count], rooms[(n * 3 + 1) % room_count])
        kept = mine if habit == "busy" else (_QUIET_ROOM,)
        kind, group = _KINDS[n % len(_KINDS)], _LINKS[n % len(_LINKS)]
        clients.append(Client(f"client-{n}", kind, user, kept, "", group))
    drawn = [*rooms, *SPARE_ROOMS, *GIVEN_ROOMS]
    return clients, Audience(users["busy"], users["quiet"], users["never"], drawn, [_QUIET_ROOM])
