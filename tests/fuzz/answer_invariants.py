"""What has to be true of the API's answers about a chat: only a clear yes lets anybody in.

Not here: where the bytes come from.
"""

import json
from typing import Any

from constellation_ws.access.answers import ApiAnswer, NoAnswer, read_participants, read_verdict
from constellation_ws.messages.events import ChatId, UserId
from constellation_ws.nest.framing import FramingError, read_reply

USER, CHAT = UserId("u1"), ChatId("c1")
STATUSES = (200, 403, 404, 500)


def check(data: bytes) -> None:
    """Take any bytes as an HTTP status and body, and as a NestJS reply."""
    status, body = STATUSES[data[0] % len(STATUSES)] if data else 200, data[1:]
    answer = _by_http(status, body)
    if answer is not None and (answer.allowed or answer.chats):
        assert status == 200
        said = json.loads(body)
        assert answer.allowed is said["allowed"]
        asked = {CHAT} if answer.allowed else set()
        assert answer.chats in (None, {*map(str, said.get("chatIds") or ()), *asked})
    if _is_yes_by_nest(body):
        response = json.loads(body.decode(errors="replace"))["response"]
        assert response["success"] is True
        assert USER in map(_id, response["data"]["metadata"]["participants"])


def _by_http(status: int, body: bytes) -> ApiAnswer | None:
    try:
        return read_verdict(CHAT, status, body)
    except NoAnswer:
        return None


def _is_yes_by_nest(text: bytes) -> bool:
    try:
        # The decoder of frames hands on no bytes that are not UTF-8.
        reply = read_reply(text.decode(errors="replace").encode())
        return read_participants(USER, reply).allowed
    except (FramingError, NoAnswer):
        return False


def _id(participant: Any) -> str:
    if isinstance(participant, dict):
        own = participant.get("userId")
        return str(participant.get("id") if own is None else own)
    return str(participant)
