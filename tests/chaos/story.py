"""What a client went through, as it saw it, split into sessions.

Pure. A session goes on as long as each reconnect says `recovered`; a reconnect that does not is a
loss that was reported, and begins another session.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Entry = Sequence[Any]
"""What a client wrote down, with the time in milliseconds:

    ["connect", ms, sid, pid, recovered]
    ["event", ms, number]              one that comes before its connect was replayed
    ["ask", ms, "join" | "leave", room]
    ["joined", ms, room]  ["left", ms, room]  ["refused", ms, room, code]
    ["removing", ms, room]             a backend is about to take it out of a room
    ["removed", ms, room]              the backend was answered that this is done
    ["lost", ms, reason]
    ["wrong", ms, sentence]            what no client should see, such as an argument too many
"""


@dataclass(frozen=True, slots=True)
class Story:
    """All that one client went through."""

    name: str
    kind: str
    user: str
    entries: Sequence[Entry]
    group: str | None = None
    """The clients that disasters strike together; None for those on good links."""
    can_resume: bool = True
    has_offsets: bool = True
    """Whether it asks for offsets: then nothing but a loss excuses that it is not recovered."""


@dataclass(slots=True)
class Stay:
    """One stay in a room. Between request and answer an event of the room may arrive or not."""

    room: str
    asked_ms: float
    joined_ms: float | None = None
    """The acknowledgement: from here on the room's events are due."""
    leaving_ms: float | None = None
    left_ms: float | None = None
    """The acknowledgement: nothing of the room that is sent later may arrive."""

    def is_due(self, sent_ms: float, deadline_ms: float, slack_ms: float) -> bool:
        """Tell whether an event must arrive that was sent then, and delivered by the deadline.

        What was published before it left may be recorded after it: then it is not for it.
        """
        return (
            self.joined_ms is not None
            and sent_ms > self.joined_ms + slack_ms
            and (self.leaving_ms is None or deadline_ms < self.leaving_ms)
        )

    def is_possible(self, sent_ms: float) -> bool:
        return self.left_ms is None or sent_ms <= self.left_ms


@dataclass(slots=True)
class Session:
    """One session, over all its connections."""

    pid: str | None
    sid: str | None
    connects_ms: list[float]
    """The first is that of the new session, all others said `recovered`."""
    lost_ms: list[float] = field(default_factory=list)
    received: list[tuple[float, int]] = field(default_factory=list)
    stays: list[Stay] = field(default_factory=list)
    is_last: bool = True

    @property
    def opened_ms(self) -> float:
        return self.connects_ms[0]

    @property
    def is_connected(self) -> bool:
        """Whether it is connected where the story ends."""
        return self.is_last and len(self.lost_ms) < len(self.connects_ms)

    @property
    def ended_ms(self) -> float | None:
        """When its last connection was lost, if it ended at all."""
        return None if self.is_connected else self.lost_ms[-1]

    def is_steady(self, start_ms: float, end_ms: float) -> bool:
        """Tell whether one connection lasted from here to there."""
        ends = [*self.lost_ms, float("inf")]
        return any(
            begin < start_ms and end_ms < end
            for begin, end in zip(self.connects_ms, ends, strict=False)
        )


@dataclass(slots=True)
class Account:
    """A story that was read."""

    sessions: list[Session] = field(default_factory=list)
    wrong: list[tuple[float, str]] = field(default_factory=list)


def read(story: Story) -> Account:
    """Split a story into sessions."""
    account = Account()
    early: list[tuple[float, int]] = []
    for entry in story.entries:
        match entry:
            case ["connect", ms, sid, pid, bool(is_recovered)]:
                _connect(account, ms, sid, pid, is_recovered)
                account.sessions[-1].received += early
                early = []
            case ["event", ms, int(number)]:
                session = account.sessions[-1] if account.sessions else None
                is_live = session is not None and session.is_connected
                (session.received if session and is_live else early).append((ms, number))
            case ["lost", ms, _]:
                if account.sessions and account.sessions[-1].is_connected:
                    account.sessions[-1].lost_ms.append(ms)
            case ["wrong", ms, str(sentence)]:
                account.wrong.append((ms, sentence))
            case ["ask" | "joined" | "left" | "refused" | "removing" | "removed", ms, *words]:
                _move(account.sessions[-1].stays, entry[0], ms, words)
            case _:
                raise ValueError(f"{story.name}: no entry of a story: {entry!r}")
    return account


def _connect(account: Account, ms: float, sid: Any, pid: Any, is_recovered: bool) -> None:
    sessions = account.sessions
    if sessions and sessions[-1].is_connected:
        sessions[-1].lost_ms.append(ms)  # the client has not noticed that it was lost
    if not sessions or not is_recovered:
        if sessions:
            sessions[-1].is_last = False
        sessions.append(Session(pid, sid, [ms]))
        return
    if (sid, pid) != (sessions[-1].sid, sessions[-1].pid):
        account.wrong.append((ms, f"recovered, with another sid or pid: {sid}, {pid}"))
    sessions[-1].connects_ms.append(ms)


def _move(stays: list[Stay], what: str, ms: float, words: Sequence[str]) -> None:
    room = words[1] if what == "ask" else words[0]
    current = next((one for one in reversed(stays) if one.room == room), None)
    if what == "ask" and words[0] == "join":
        if current is None or current.leaving_ms is not None:
            stays.append(Stay(room, ms))
    elif current is None:
        return  # an answer to what an earlier session asked
    elif what in ("ask", "removing"):
        current.leaving_ms = current.leaving_ms or ms
    elif what == "joined":
        current.joined_ms = current.joined_ms or ms
    elif what in ("left", "removed"):
        current.left_ms = ms
