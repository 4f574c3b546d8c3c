"""`listen`: a user's events, one line each, until enough have come or the time is over."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from constellation_ws.cli.client import CannotConnect, Heard, News, Note, connected
from constellation_ws.messages.events import ChatId, UserId

_EMOJI_JOINER = "\u200d"


class TooFewEvents(TimeoutError):
    """The time was over before enough events had come; `str()` is a sentence."""


@dataclass(frozen=True, slots=True)
class Patience:
    """When to stop listening: after so many events, after so long, whichever is first."""

    events: int | None = None
    seconds: float | None = None


async def listen(
    url: str,
    user: UserId,
    chats: Sequence[ChatId],
    patience: Patience,
    write: Callable[[Heard], str],
    token: str | None = None,
) -> None:
    """Print a user's events. The time counts from when the client has joined its chats.

    Raises CannotConnect, and TooFewEvents when fewer came than were asked for.
    """
    news: asyncio.Queue[News] = asyncio.Queue()
    async with connected(url, user, chats, news, token):
        heard = 0
        try:
            async with asyncio.timeout(patience.seconds):
                while patience.events is None or heard < patience.events:
                    heard += _tell(await news.get(), write)
        except TimeoutError as error:
            if patience.events is not None:
                reason = (
                    f"received {heard} of {patience.events} events within {patience.seconds:g} s."
                )
                raise TooFewEvents(reason) from error


def to_line(heard: Heard) -> str:
    """Write an event for people."""
    time = f"{heard.at.astimezone():%H:%M:%S}"
    return f"{time}  {printable(heard.event):<13} {printable(to_text(heard.arguments))}".rstrip()


def to_text(arguments: Iterable[Any]) -> str:
    """Write arguments as JSON, one after the other."""
    return " ".join(json.dumps(one, ensure_ascii=False, default=_to_base64) for one in arguments)


def to_json(heard: Heard) -> str:
    """Write an event for programs: `data` is the first argument, null where there is none."""
    fields = {
        "at": heard.at.isoformat(timespec="milliseconds"),
        "user": heard.user,
        "event": heard.event,
        "data": heard.arguments[0] if heard.arguments else None,
        "arguments": heard.arguments,
    }
    return json.dumps(fields, default=_to_base64)


def printable(text: str) -> str:
    """Escape what a terminal would execute or could not show."""
    shown = (char if _is_harmless(char) else _escape(char) for char in text)
    return "".join(shown)


def _to_base64(data: Any) -> dict[str, str]:
    """Write binary data, the only kind of value in an event that JSON does not have."""
    return {"base64": base64.b64encode(data).decode()}


def _is_harmless(char: str) -> bool:
    return char.isprintable() or char == _EMOJI_JOINER


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode()


def _tell(news: News, write: Callable[[Heard], str]) -> int:
    """Print one piece of news and say how many events it was. Raises CannotConnect."""
    match news:
        case Heard():
            print(write(news), flush=True)
            return 1
        case Note():
            print(news, file=sys.stderr, flush=True)
            return 0
        case CannotConnect():
            raise news
