"""Who is there: busy clients and quiet ones, on good links and on such that fail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.chaos.clients import ORIGINAL, OURS, Client
from tests.chaos.events import Audience
from tests.chaos.worlds import Size

_GROUPS = (None, "frail", None, "stalling", "away")
"""In turn: two of five are on good links."""
GROUPS = tuple(group for group in _GROUPS if group is not None)
_ROOMS_PER_CLIENT = 2
_QUIET_ROOM = "quiet-room"
SPARE_ROOMS = ("spare-0", "spare-1", "spare-2")
"""Joined and left again all the time."""


@dataclass(frozen=True, slots=True)
class Population:
    """All clients, and whom events are for."""

    clients: list[Client]
    audience: Audience


def populate(size: Size, ports: Mapping[str | None, int], host: str) -> Population:
    """Name the clients; `ports` are where each group connects to."""
    rooms = [f"room-{n}" for n in range(size.rooms)]
    # Each kind on each link: the groups change when all kinds have had their turn.
    chosen = [
        (OURS[n % len(OURS)], _GROUPS[n // len(OURS) % len(_GROUPS)]) for n in range(size.clients)
    ]
    chosen += [
        (ORIGINAL[n % len(ORIGINAL)], _GROUPS[n % len(_GROUPS)]) for n in range(size.originals)
    ]
    clients = []
    users: dict[str, list[str]] = {"busy": [], "quiet": [], "never": []}
    for n, (kind, group) in enumerate(chosen):
        # Of eight five are busy, two are addressed now and then, and one never.
        habit = ("busy", "quiet", "busy", "busy", "never", "busy", "quiet", "busy")[n % 8]
        user = f"user-{n}"
        users[habit].append(user)
        mine = tuple(rooms[(n * 7 + k * 3) % len(rooms)] for k in range(_ROOMS_PER_CLIENT))
        clients.append(
            Client(
                f"client-{n}", kind, user, mine if habit == "busy" else (_QUIET_ROOM,),
                f"http://{host}:{ports[group]}", group,
            )
        )  # fmt: skip
    drawn = [*rooms, *SPARE_ROOMS]
    audience = Audience(users["busy"], users["quiet"], users["never"], drawn, [_QUIET_ROOM])
    return Population(clients, audience)
