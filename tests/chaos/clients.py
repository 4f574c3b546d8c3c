"""Who the clients are: what they speak, what they ask for, and which link they hang on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.chaos.story import Entry, Story


@dataclass(frozen=True, slots=True)
class Kind:
    """What a client can do."""

    transport: str
    """`websocket` or `polling`; socket.io-client's `upgrading` is both."""
    has_offsets: bool
    """Whether it asks for recovery, and so gets the offset of each event."""
    can_resume: bool = True
    is_original: bool = False
    """Whether it is socket.io-client itself."""

    @property
    def label(self) -> str:
        asks = (
            "offsets" if self.has_offsets else "no offsets" if self.can_resume else "never resumes"
        )
        return f"{'socket.io-client' if self.is_original else 'ours'}, {self.transport}, {asks}"


OURS = (
    Kind("websocket", has_offsets=True),
    Kind("websocket", has_offsets=False),
    Kind("polling", has_offsets=True),
    Kind("websocket", has_offsets=True),
    Kind("polling", has_offsets=False),
    Kind("websocket", has_offsets=False, can_resume=False),
)
"""In turn: half of them ask for offsets, a third polls."""
ORIGINAL = (
    Kind("websocket", has_offsets=True, is_original=True),
    Kind("websocket", has_offsets=False, is_original=True),
    Kind("upgrading", has_offsets=True, is_original=True),
    Kind("polling", has_offsets=True, is_original=True),
)


@dataclass(frozen=True, slots=True)
class Client:
    """Who connects, how, and to where."""

    name: str
    kind: Kind
    user: str
    rooms: tuple[str, ...]
    """Those that it joins as soon as it can."""
    address: str
    """The base URL, without path."""
    group: str | None = None
    """The wire that it hangs on, where that is one that fails."""

    def story(self, entries: Sequence[Entry]) -> Story:
        """Tell what it went through."""
        kind = self.kind
        return Story(
            self.name, kind.label, self.user, entries, self.group, kind.can_resume, kind.has_offsets
        )
