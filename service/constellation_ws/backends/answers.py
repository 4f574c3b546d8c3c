"""What a backend's answer means: an ack, a refusal in its own words, or no answer. Pure.

An ack is forwarded as it was written. What JavaScript's JSON.parse refuses must not be: it would
cost the client its connection.
"""

from __future__ import annotations

import msgspec

from constellation_ws.messages.admission import Refusal
from constellation_ws.messages.ids import id_of, loads

MAX_ANSWER_BYTES = 1_048_576
"""Longest answer that is forwarded."""

UNAVAILABLE = Refusal(
    "backend_unavailable", "The request cannot be answered at the moment: try again later."
)
TIMED_OUT = Refusal(
    "backend_timeout", "The request was not answered in time. It may still be carried out."
)
REFUSED = Refusal("backend_refused", "The request was refused.")
"""For a backend that does not say why."""


class OwnRefusal(Refusal):
    """A refusal in the backend's words. Its code is no word of ours: never use it as a label."""

    __slots__ = ()


class BackendFailed(Exception):
    """The backend gave no usable answer; `str()` says why and holds nothing that it sent.

    `is_down` is whether that speaks against the backend and not just against this request.
    `event` is what several requests have failed of together, such as a lost connection.
    """

    def __init__(self, reason: str, *, is_down: bool = True, event: object = None) -> None:
        super().__init__(reason)
        self.is_down = is_down
        self.event = self if event is None else event


class NoAnswer(BackendFailed):
    """The backend did not answer in time."""

    def __init__(self) -> None:
        super().__init__("it did not answer in time")


_is_json = msgspec.json.Decoder(msgspec.Raw).decode


def read_ack(body: bytes) -> msgspec.Raw:
    """Give the JSON text of an ack as it is; an empty one is `null`. Raises BackendFailed."""
    if not body:
        return msgspec.Raw(b"null")
    try:
        text = body.decode()  # msgspec does not look at the bytes of what it leaves raw
        try:
            _is_json(body)
        except msgspec.DecodeError:
            loads(text)  # half of a surrogate pair is JSON
    except (ValueError, RecursionError) as error:
        raise BackendFailed("its answer is not JSON", is_down=False) from error
    return msgspec.Raw(body)


def read_refusal(body: bytes) -> Refusal:
    """Read why a backend refuses: `{code, message}`, `{error: {code, message}}`, or a text.

    A code counts only with a message; a message alone has the code `backend_refused`.
    """
    try:
        said: object = loads(body.decode())
    except (ValueError, RecursionError):
        return REFUSED
    if isinstance(said, dict) and isinstance(said.get("error"), dict):
        said = said["error"]
    if not isinstance(said, dict):
        return _own(None, said)
    return _own(said.get("code"), said.get("message"))


def _own(code: object, message: object) -> Refusal:
    if (sentence := _text(message)) is None:
        return REFUSED
    if (word := _text(code)) is None:
        return Refusal(REFUSED.code, sentence)
    return OwnRefusal(word, sentence)


def _text(value: object) -> str | None:
    return id_of(value) if isinstance(value, str) else None  # not empty, and UTF-8 can encode it
