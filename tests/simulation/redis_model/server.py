"""The server: executing commands and scripts, Pub/Sub, and what Redis refuses."""

from __future__ import annotations

import fnmatch
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tests.simulation.hosts import WALL_CLOCK, Host
from tests.simulation.redis_model.commands import COMMANDS, Command
from tests.simulation.redis_model.keyspace import Keyspace, integer
from tests.simulation.redis_model.replies import (
    Failure,
    Refusal,
    Reply,
)
from tests.simulation.redis_model.scripting import Scripts
from tests.simulation.redis_model.session import ClientSession
from tests.simulation.redis_model.slots import check_script_key, check_slots, keys_of
from tests.simulation.redis_model.sorted_sets import ScoredMembers
from tests.simulation.redis_model.streams import StreamEntries

REFUSALS = {
    "OOM": "OOM command not allowed when used memory > 'maxmemory'.",
    "READONLY": "READONLY You can't write against a read only replica.",
    "MISCONF": "MISCONF Valkey is configured to save RDB snapshots, but it's currently unable to "
    "persist to disk. Commands that may modify the data set are disabled, because this instance is "
    "configured to report errors during writes if RDB snapshotting fails "
    "(stop-writes-on-bgsave-error option). Please check the Valkey logs for details about the RDB "
    "error.",
}


_RECEIPTS = 5_000


@dataclass(frozen=True, slots=True)
class Receipt:
    """Which hosts a message was sent to."""

    at_ms: int
    payload: bytes
    receivers: frozenset[str]


class Session(Protocol):
    """One connection of a client, as the server sees it."""

    @property
    def client(self) -> str:
        """Name of the host at the other end."""

    def push(self, parts: Sequence[Any]) -> None:
        """Send what was published."""

    def try_blocked(self) -> None:
        """Read again, after something was appended."""


class RedisModel:
    """One Redis: its data outlive the hosts that it runs on, unless somebody clears them."""

    def __init__(self) -> None:
        self.host: Host
        self.clock_offset = 0.0
        self.data = Keyspace(self._now)
        self.scripts = Scripts()
        self.refuses: str | None = None
        """Code of the error with which writes are refused."""
        self._starts = 0
        self.is_seen = True
        """Whether a gateway has connected to it since it was started."""
        self._subscribers: dict[bytes, dict[Session, None]] = {}
        self._patterns: dict[bytes, tuple[re.Pattern[str], dict[Session, None]]] = {}
        self._blocked: list[Session] = []
        self.receipts: deque[Receipt] = deque(maxlen=_RECEIPTS)
        """The last messages that were published."""

    def start(self, host: Host) -> None:
        """Serve on a host."""
        self._starts += 1
        self.is_seen = False
        self.host = host
        self.data.run_id = f"{self._starts:040x}"
        self.scripts = Scripts()
        self._subscribers, self._patterns, self._blocked = {}, {}, []
        host.network.listen(host, lambda: ClientSession(self), 6379)

    def _now(self) -> float:
        return WALL_CLOCK + self.host.universe.now + self.clock_offset

    # Executing

    def execute(self, words: list[bytes], protocol: int = 3) -> Reply:
        """Execute a command that needs no connection. Never raises what Redis would answer."""
        try:
            reply = self._execute(words[0].upper(), words)
        except Refusal as error:
            return Failure(str(error))
        finally:
            self._send_published()
        if self.data.appended:
            self._wake()
        return _for_protocol(reply, protocol)

    def _execute(self, name: bytes, words: list[bytes]) -> Reply:
        command = COMMANDS.get(name)
        if command is not None:
            _check_words(command, words)
            check_slots(keys_of(words))
            self._check_refused(name, command)
            return command.execute(self.data, words)
        match name:
            case b"PUBLISH":
                return self._publish(words[1], words[2])
            case b"EVALSHA":
                return self._run_script(words[1].lower(), words)
            case b"EVAL":
                return self._run_script(self.scripts.load(words[1]), words)
            case b"SCRIPT" if words[1].upper() == b"LOAD":
                return self.scripts.load(words[2])
            case b"SCRIPT" if words[1].upper() == b"EXISTS":
                return [int(digest.lower() in self.scripts.known) for digest in words[2:]]
        raise Refusal(f"ERR unknown command '{name.decode(errors='replace')}'")

    def _check_refused(self, name: bytes, command: Command) -> None:
        """Raise what Redis refuses in its present state."""
        code = self.refuses
        if code is None:
            return
        is_refused = command.needs_memory if code == "OOM" else command.writes
        if is_refused or (code == "MISCONF" and name == b"PING"):
            raise Refusal(REFUSALS[code])

    def _run_script(self, digest: bytes, words: list[bytes]) -> Reply:
        count = integer(words[2])
        keys = words[3 : 3 + count]
        slot = check_slots(keys)
        has_written = False

        def call(inner: list[bytes]) -> Reply:
            nonlocal has_written
            name = inner[0].upper()
            if name == b"PUBLISH":
                self.data.published.append((inner[1], inner[2]))
                return self._count_receivers(inner[1])
            command = COMMANDS[name]
            _check_words(command, inner)
            check_script_key(slot, inner)
            if command.writes and not has_written:
                # Redis lets a script that has written end, whatever happens.
                self._check_refused(name, command)
                has_written = True
            return command.execute(self.data, inner)

        return self.scripts.run(digest, keys, words[3 + count :], call)

    # Pub/Sub

    def _publish(self, channel: bytes, payload: bytes) -> int:
        self.data.published.append((channel, payload))
        return self._count_receivers(channel)

    def _send_published(self) -> None:
        published, self.data.published = self.data.published, []
        for channel, payload in published:
            sessions = self._subscribers.get(channel, {})
            for session in sessions:
                session.push([b"message", channel, payload])
            receivers = frozenset(session.client for session in sessions)
            self.receipts.append(Receipt(self.host.universe.now_ms, payload, receivers))
            for pattern, (matcher, sessions) in self._patterns.items():
                if matcher.match(channel.decode("latin-1")):
                    for session in sessions:
                        session.push([b"pmessage", pattern, channel, payload])

    def _count_receivers(self, channel: bytes) -> int:
        text = channel.decode("latin-1")
        by_pattern = sum(
            len(sessions) for matcher, sessions in self._patterns.values() if matcher.match(text)
        )
        return len(self._subscribers.get(channel, ())) + by_pattern

    def subscribe(self, session: Session, channel: bytes) -> None:
        self._subscribers.setdefault(channel, {})[session] = None

    def subscribe_pattern(self, session: Session, pattern: bytes) -> None:
        matcher = re.compile(fnmatch.translate(pattern.decode("latin-1")))
        self._patterns.setdefault(pattern, (matcher, {}))[1][session] = None

    def unsubscribe(self, session: Session) -> list[bytes]:
        """Send it nothing any more by a channel's name; return the channels."""
        return [
            channel
            for channel, sessions in self._subscribers.items()
            if sessions.pop(session, session) is None
        ]

    def unsubscribe_patterns(self, session: Session) -> list[bytes]:
        """Send it nothing any more by a pattern; return the patterns."""
        return [
            pattern
            for pattern, (_, sessions) in self._patterns.items()
            if sessions.pop(session, session) is None
        ]

    def leave(self, session: Session) -> None:
        """Forget a connection."""
        self.unsubscribe(session)
        self.unsubscribe_patterns(session)
        if session in self._blocked:
            self._blocked.remove(session)

    # Blocking reads

    def block(self, session: Session) -> None:
        self._blocked.append(session)

    def unblock(self, session: Session) -> None:
        if session in self._blocked:
            self._blocked.remove(session)

    def _wake(self) -> None:
        self.data.appended.clear()
        for session in list(self._blocked):
            session.try_blocked()


def _check_words(command: Command, words: list[bytes]) -> None:
    if len(words) < command.least_words:
        name = words[0].decode(errors="replace").lower()
        raise Refusal(f"ERR wrong number of arguments for '{name}' command")


def _for_protocol(reply: Reply, protocol: int) -> Reply:
    """Give plain lists and maps, in the form that each protocol has."""
    if isinstance(reply, StreamEntries):
        return dict(reply) if protocol == 3 else [list(pair) for pair in reply.items()]
    if isinstance(reply, ScoredMembers):
        return list(reply) if protocol == 3 else [one for pair in reply for one in pair]
    return reply
