"""One connection of a client: its protocol, and the reads on which it waits."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import hiredis

from tests.simulation.redis_model.keyspace import integer
from tests.simulation.redis_model.replies import OK, Reply, encode, encode_push

if TYPE_CHECKING:
    from tests.simulation.redis_model.server import RedisModel
    from tests.simulation.transports import Transport


class ClientSession(asyncio.Protocol):
    """One connection of a client."""

    def __init__(self, server: RedisModel) -> None:
        self._server = server
        self._reader = hiredis.Reader()
        self._protocol = 2
        self._subscriptions = 0
        self._todo: deque[list[bytes]] = deque()
        self._blocked_by: list[bytes] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._out: list[bytes] = []
        self._transport: asyncio.Transport

    @property
    def client(self) -> str:
        """Name of the host at the other end."""
        return cast("Transport", self._transport).peer.host.name

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._server.leave(self)

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (words := self._reader.gets()) is not False:
            self._todo.append(words)
        self._work()

    def push(self, parts: Sequence[Any]) -> None:
        """Send what was published."""
        data = encode_push(list(parts), self._protocol)
        if self._out:
            self._out.append(data)  # behind the replies of this turn
        else:
            self._transport.write(data)

    def _work(self) -> None:
        while self._todo and self._blocked_by is None:
            words = self._todo.popleft()
            self._out.append(self._answer(words))
        self._flush()

    def _flush(self) -> None:
        if self._out:
            data = b"".join(self._out)
            self._out.clear()
            if data:
                self._transport.write(data)

    def _answer(self, words: list[bytes]) -> bytes:
        match words[0].upper():
            case b"HELLO":
                return self._hello(words)
            case b"CLIENT" if words[1].upper() == b"SETINFO":
                reply: Reply = OK
            case b"SELECT":
                reply = OK
            case b"SUBSCRIBE":
                return b"".join(self._subscribe(channel) for channel in words[1:])
            case b"PSUBSCRIBE":
                return b"".join(self._subscribe_pattern(pattern) for pattern in words[1:])
            case b"UNSUBSCRIBE":
                return self._unsubscribe(b"unsubscribe", self._server.unsubscribe(self))
            case b"PUNSUBSCRIBE":
                return self._unsubscribe(b"punsubscribe", self._server.unsubscribe_patterns(self))
            case b"XREAD":
                return self._read_stream(words)
            case _:
                # What it publishes to this connection comes before the reply, as in Redis.
                return encode(self._server.execute(words, self._protocol), self._protocol)
        return encode(reply, self._protocol)

    def _hello(self, words: list[bytes]) -> bytes:
        self._server.is_seen |= self.client.startswith("pod")
        if len(words) > 1:
            self._protocol = integer(words[1])
        role = b"replica" if self._server.refuses == "READONLY" else b"master"
        return encode(
            {b"server": b"valkey", b"proto": self._protocol, b"role": role}, self._protocol
        )

    def _subscribe(self, channel: bytes) -> bytes:
        self._server.subscribe(self, channel)
        self._subscriptions += 1
        return encode_push([b"subscribe", channel, self._subscriptions], self._protocol)

    def _subscribe_pattern(self, pattern: bytes) -> bytes:
        self._server.subscribe_pattern(self, pattern)
        self._subscriptions += 1
        return encode_push([b"psubscribe", pattern, self._subscriptions], self._protocol)

    def _unsubscribe(self, kind: bytes, names: list[bytes]) -> bytes:
        pushed = []
        for name in names:
            self._subscriptions -= 1
            pushed.append(encode_push([kind, name, self._subscriptions], self._protocol))
        return b"".join(pushed) or encode_push([kind, None, self._subscriptions], self._protocol)

    def _read_stream(self, words: list[bytes]) -> bytes:
        upper = [word.upper() for word in words]
        milliseconds: int | None = None
        if b"BLOCK" in upper:
            at = upper.index(b"BLOCK")
            milliseconds = integer(words[at + 1])
            words = words[:at] + words[at + 2 :]
        reply = self._server.execute(words, self._protocol)
        if reply is not None or milliseconds is None:
            return encode(reply, self._protocol)
        self._blocked_by = words
        self._server.block(self)
        if milliseconds:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(milliseconds / 1000, self._give_up)
        return b""

    def try_blocked(self) -> None:
        """Read again, after something was appended."""
        assert self._blocked_by is not None, "blocked"
        reply = self._server.execute(self._blocked_by, self._protocol)
        if reply is not None:
            self._unblock(encode(reply, self._protocol))

    def _give_up(self) -> None:
        self._unblock(b"_\r\n" if self._protocol == 3 else b"*-1\r\n")

    def _unblock(self, reply: bytes) -> None:
        self._server.unblock(self)
        self._blocked_by = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._out.append(reply)
        self._work()
