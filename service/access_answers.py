"""What the API's answers about a chat mean. Pure: bytes in; a yes, a no or no answer out.

Only a clear yes is one. A clear no is told from a broken answer, since clients act on it.
"""

from __future__ import annotations

import msgspec

from service.events import UserId
from service.nest_framing import Reply

MAX_ANSWER_BYTES = 1_048_576
"""Longest answer read: some 25,000 participants by UUID. A longer one is none."""


class NoAnswer(Exception):
    """The API did not say yes or no; `str()` says why and holds nothing that it sent."""


class _Verdict(msgspec.Struct):
    allowed: bool


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


def read_verdict(status: int, body: bytes) -> bool:
    """Read an HTTP answer: 200 with `{"allowed": true | false}`, or 403 or 404 for no.

    Raises NoAnswer.
    """
    if status in (403, 404):
        return False
    if status != 200:
        raise NoAnswer(f"the API answered with HTTP status {status}")
    try:
        # As text: of the bytes of a key that it has no use for msgspec would take any.
        return _read_verdict(body.decode()).allowed
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NoAnswer('the API answered something else than {"allowed": true | false}') from error


def is_participant(user: UserId, reply: Reply) -> bool:
    """Look for a user in `{success, data: {metadata: {participants}}}`, `getChatDetails`' answer.

    A participant is an id, or an object with `userId` or `id`; a number counts as its decimal
    string. `success: false` is a no: there is no such chat. Raises NoAnswer.
    """
    if reply.failure is not None:
        raise NoAnswer("the API answered with an error")
    try:
        details = _read_details(reply.response)
        if not details.success:
            return False
        participants = _read_chat(details.data).metadata.participants
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NoAnswer("the API's answer has no list of participants") from error
    return any(_id(one) == user for one in participants)


def _id(participant: str | int | _Participant) -> str | None:
    found: str | int | None
    if isinstance(participant, _Participant):
        found = participant.id if participant.userId is None else participant.userId
    else:
        found = participant
    return None if found is None else str(found)
