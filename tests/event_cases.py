"""The contract's samples of events: what is published, and what clients must receive.

Lives here: reading `contract/events.json` and giving each test users and chats of its own. Sending
and receiving are done by the tests.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).parent / "contract" / "events.json"
USERS = ("alice", "bob", "carol")
CHATS = ("c-1", "c-2")


@dataclass(frozen=True, slots=True)
class EventCase:
    """One sample. `event` is None where nothing may be sent."""

    name: str
    channel: str
    publish: str
    event: str | None
    payload: Any
    users: frozenset[str]
    rooms: frozenset[str]
    except_users: frozenset[str]

    def reaches(self, user: str, rooms: set[str]) -> bool:
        """Whether a socket of `user` that has joined `rooms` gets the event."""
        addressed = user in self.users or bool(self.rooms & rooms)
        return self.event is not None and addressed and user not in self.except_users


def event_cases(mine: str = "") -> list[EventCase]:
    """All samples, in the file's order, with `mine` appended to every user and chat id."""
    document = SAMPLES.read_text("utf-8")
    for name in USERS + CHATS:
        # Once as the file's own strings, once inside the published text, and as a room's name.
        for before, after in (('"', '"'), ('\\"', '\\"'), ('"chat:', '"')):
            document = document.replace(before + name + after, before + name + mine + after)
    return [_case(case) for case in json.loads(document)["cases"]]


def _case(case: dict[str, Any]) -> EventCase:
    to = case["to"]
    return EventCase(
        name=case["name"],
        channel=case["channel"],
        publish=case["publish"],
        event=case["event"],
        payload=case["payload"],
        users=frozenset(to["users"]),
        rooms=frozenset(to["rooms"]),
        except_users=frozenset(to["except_users"]),
    )
