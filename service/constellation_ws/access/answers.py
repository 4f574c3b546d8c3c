"""What the API's answers about a chat mean. Pure: bytes in; a yes, a no or no answer out.

Only a clear yes is one. A clear no is distinguished from a broken answer, since clients act on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from constellation_ws.messages.events import ChatId, UserId
from constellation_ws.nest.framing import Reply

MAX_ANSWER_BYTES = 1_048_576
"""Longest answer read: some 25,000 participants by UUID. A longer one is none."""


class NoAnswer(Exception):
    """The API did not say yes or no; `str()` says why and holds nothing that it sent."""


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """The API's answer to whether one user may be in one chat, and what it says besides."""

    allowed: bool
    users: frozenset[str] | None = None
    """All users of the chat, where the answer names them."""
    chats: frozenset[str] | None = None
    """Chats that the user may join, where the answer names some; of others this says nothing."""


class _Verdict(msgspec.Struct):
    allowed: bool
    chatIds: list[str | int] | None = None


class _Participant(msgspec.Struct):
    # `userId` first: where there are both, `id` is that of the membership.
    userId: str | int | None = None
    id: str | int | None = None


class _Metadata(msgspec.Struct):
    participants: list[str | int | _Participant]


class _Chat(msgspec.Struct):
    metadata: _Metadata


class _Details(msgspec.Struct):
    success: bool
    data: msgspec.Raw = msgspec.Raw(b"null")


_read_verdict = msgspec.json.Decoder(_Verdict).decode
_read_details = msgspec.json.Decoder(_Details).decode
_read_chat = msgspec.json.Decoder(_Chat).decode


def read_verdict(chat: ChatId, status: int, body: bytes) -> ApiAnswer:
    """Read an HTTP answer: 200 with `{"allowed": true | false}`, or 403 or 404 for no.

    `chatIds` beside `allowed` names further chats that the user may join. Raises NoAnswer.
    """
    if status in (403, 404):
        return ApiAnswer(False)
    if status != 200:
        raise NoAnswer(f"the API answered with HTTP status {status}")
    try:
        # As text: of the bytes of a key that it has no use for msgspec would take any.
        verdict = _read_verdict(body.decode())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NoAnswer('the API did not answer with {"allowed": true | false}') from error
    if verdict.chatIds is None:
        return ApiAnswer(verdict.allowed)
    chats = frozenset(map(str, verdict.chatIds))
    if chat in chats and not verdict.allowed:
        raise NoAnswer("the API's answer contradicts itself: not allowed, but in chatIds")
    return ApiAnswer(verdict.allowed, chats=chats | {chat} if verdict.allowed else chats)


def read_participants(user: UserId, reply: Reply) -> ApiAnswer:
    """Read `{success, data: {metadata: {participants}}}`, `getChatDetails`' answer.

    A participant is an id, or an object with `userId` or `id`; a number counts as its decimal
    string. `success: false` is a no: there is no such chat. Raises NoAnswer.
    """
    if reply.failure is not None:
        raise NoAnswer("the API answered with an error")
    try:
        details = _read_details(reply.response)
        if not details.success:
            return ApiAnswer(False, users=frozenset())
        participants = _read_chat(details.data).metadata.participants
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NoAnswer("the API's answer has no list of participants") from error
    users = frozenset(found for one in participants if (found := _id(one)) is not None)
    return ApiAnswer(user in users, users=users)


def _id(participant: str | int | _Participant) -> str | None:
    found: str | int | None
    if isinstance(participant, _Participant):
        found = participant.id if participant.userId is None else participant.userId
    else:
        found = participant
    return None if found is None else str(found)
