"""Messages of `@socket.io/redis-emitter`, as `tests/js/emitter/messages.mjs` prints them.

After a change there: `node tests/js/emitter/messages.mjs > tests/emitter_messages.json`.
"""

import base64
import json
from dataclasses import dataclass
from typing import Any

from tests.processes import REPOSITORY

FILE = REPOSITORY / "tests" / "emitter_messages.json"
SCRIPT = REPOSITORY / "tests" / "js" / "emitter" / "messages.mjs"


@dataclass(frozen=True, slots=True)
class EmitterCase:
    """One message, and the packet that a Socket.IO server in Node makes of it."""

    name: str
    channel: str
    message: bytes
    packet: list[str]
    """Its text, then its attachments as base64; empty where the message is a request."""

    def __str__(self) -> str:
        return self.name


def emitter_cases() -> list[EmitterCase]:
    """All of them."""
    rows: list[dict[str, Any]] = json.loads(FILE.read_text("utf-8"))
    return [
        EmitterCase(
            row["name"], row["channel"], base64.b64decode(row["message"]), row.get("packet", [])
        )
        for row in rows
    ]
