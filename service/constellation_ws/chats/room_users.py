"""Who is in a room on this pod: the users behind its members, a page at a time."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable

from constellation_ws.delivery.rooms import Member
from constellation_ws.messages.events import UserId
from constellation_ws.runtime.turns import paced

_CHUNK = 1_000
"""Members that are sorted in one step: half a millisecond."""


async def list_users(members: Collection[Member], cursor: str, limit: int) -> list[UserId]:
    """List the first users after `cursor`, in the order of their ids, each once.

    A room may have as many members as the pod has: others have their turn in between.
    """
    everybody, first = tuple(members), list[UserId]()
    async for start in paced(range(0, len(everybody), _CHUNK)):
        last = first[-1] if len(first) == limit else None
        users = _users(everybody[start : start + _CHUNK], cursor, last)
        first = heapq.nsmallest(limit, users.union(first))
    return first


def _users(members: Iterable[Member], cursor: str, before: str | None) -> set[UserId]:
    """Give the users behind `cursor`; of a page that is full only those who push its last out."""
    found = {user for one in members if (user := one.user) is not None and user > cursor}
    return found if before is None else {user for user in found if user < before}
