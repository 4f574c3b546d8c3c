"""Clients of Redis: connections to the node to use, and commands that Redis redirects.

While the slot of our keys is moved to another node of a Cluster, a key that is not on the old one
(any more, or at all) is asked for on the new one (ASK), and a command on keys of both waits
(TRYAGAIN). redis-py's plain client knows neither.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import redis
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.connection import Connection
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    NoPermissionError,
    NoScriptError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)

from constellation_ws.redis_io.address import Node, label_node
from constellation_ws.redis_io.meeting import Meeting
from constellation_ws.redis_io.tls import ClientTls
from constellation_ws.redis_io.topology import Topology

RETRY_SECONDS = 2.0
"""How long a command that Redis has refused is tried again, here or on another node."""
_PENDING_REPLIES_SECONDS = 1.0
"""How long a former primary may still answer commands that are under way."""
_ELSEWHERE = (MovedError, ClusterDownError, ReadOnlyError)
"""The node does not serve our keys, and has not executed the command."""
NOT_EXECUTED = (AskError, TryAgainError, *_ELSEWHERE)
"""Errors of a node after which the command may be sent to another one."""

_Command = tuple[tuple[Any, ...], Mapping[str, Any]]
"""Words and redis-py's options for the reply."""


class LocatedConnection(Connection):
    """A connection to the Redis that its topology names, at each connect."""

    def __init__(self, *, topology: Topology, tls: ClientTls | None, **options: Any) -> None:
        super().__init__(**options)
        self._topology = topology
        self._tls = tls
        topology.listen(self)

    @property
    def node(self) -> Node:
        """Where it was connected to last."""
        return self.host, self.port

    async def connect(self) -> None:
        """Connect, also where it is connected to a node that is not the one to use any more."""
        if self.is_connected and self.node != await self._topology.locate():
            await self.disconnect(nowait=True)
        await super().connect()  # type: ignore[no-untyped-call]

    async def disconnect(
        self,
        nowait: bool = False,
        error: Exception | None = None,
        failure_count: int | None = None,
        health_check_failed: bool = False,
    ) -> None:
        """Disconnect; after an error the next connection asks again for the node."""
        if error is not None:
            self._topology.doubt()
        await super().disconnect(nowait, error, failure_count, health_check_failed)

    async def send_packed_command(self, *args: Any, **options: Any) -> None:
        """Send commands. Raises ConnectionError if the connection is closed.

        uvloop raises RuntimeError then, which redis-py passes on.
        """
        try:
            await super().send_packed_command(*args, **options)
        except RuntimeError as error:
            raise redis.ConnectionError("the connection is closed") from error

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """Read a reply. Raises Redis' error, explained if the node does not serve our keys."""
        try:
            return await super().read_response(*args, **options)
        except _ELSEWHERE as error:
            # Not closed here: the replies of a pipeline follow.
            self.mark_for_reconnect()  # type: ignore[no-untyped-call]
            fault = self._topology.judge(error)
            if fault is error:
                raise
            raise fault from error

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        """Complete the connection. Raises ConnectionError if the node is a replica."""
        await super().on_connect_check_health(check_health)
        if not self._topology.is_fixed and await self._role() in ("slave", "replica"):
            raise redis.ConnectionError(f"{label_node(self.node)} is a replica, not the primary")

    async def _role(self) -> str:
        """Ask by HELLO, which no ACL forbids; Redis before version 6 does not know it."""
        await self.send_command("HELLO", check_health=False)
        try:
            reply = await super().read_response()
        except ResponseError:
            return ""
        named = (
            reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))
        )
        return str(named.get(b"role", b"").decode())

    async def _connect(self) -> None:
        self.host, self.port = await self._topology.locate()
        await super()._connect()  # type: ignore[no-untyped-call]

    def _connection_arguments(self) -> dict[str, Any]:
        secured = {} if self._tls is None else {"ssl": self._tls.context()}
        return {"host": self.host, "port": self.port, **secured}

    def moved(self, node: Node) -> None:
        """Close soon: a former primary that hangs would hold a command for its whole timeout."""
        if self._writer is None or self.node == node:
            return
        transport = self._writer.transport
        if isinstance(transport.get_protocol(), asyncio.StreamReaderProtocol):  # else a link's own
            asyncio.get_running_loop().call_later(_PENDING_REPLIES_SECONDS, transport.abort)


class LocatedRedis(Redis):
    """A client whose commands are executed on the node that has their keys.

    Commands that Redis refused to execute are tried again for two seconds.
    """

    def __init__(
        self,
        pool: ConnectionPool,
        topology: Topology,
        meeting: Meeting,
        connect: Callable[[Node], Redis],
    ) -> None:
        """`connect` makes a client of one node; nothing connects yet."""
        super().__init__(connection_pool=pool)
        self.auto_close_connection_pool = True
        self.topology = topology
        self.meeting = meeting
        """Where subscriptions belong."""
        self._connect_to = connect
        self._importers: dict[Node, Redis] = {}
        self._sources: dict[str, Any] = {}

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        for client in self._importers.values():
            await client.aclose()
        await super().aclose(close_connection_pool)

    def register_script(self, script: Any) -> Any:
        """Register a script, also for nodes that have never seen it."""
        registered = super().register_script(script)
        self._sources[registered.sha] = script
        return registered

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """Make a pipeline; one with a transaction does not follow its keys."""
        if transaction:
            return super().pipeline(transaction, shard_hint)
        return _LocatedPipeline(self)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        execute: Any = super().execute_command  # it carries no types
        try:
            return await execute(*args, **options)
        except (*NOT_EXECUTED, NoScriptError) as error:
            refusal = error
        (reply,) = await self.carry_out_refused([(args, options)], [refusal])
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def serving(self, *keys: str) -> tuple[Redis, bool]:
        """Return the client of the node that has these keys, and whether it has to be sent ASKING.

        Raises what Redis raises; that is TRYAGAIN where the keys are on two nodes.
        """
        execute: Any = super().execute_command  # it carries no types
        try:
            if keys:
                await execute("EXISTS", *keys)
        except NoPermissionError:
            return self, False  # an older ACL of ours: right as long as nothing is moved
        except AskError as error:
            if isinstance(error, MovedError):
                raise
            return await self._importer(error), True
        return self, False

    async def carry_out_refused(
        self, commands: Sequence[_Command], replies: Sequence[Any]
    ) -> list[Any]:
        """Execute refused commands where their errors say; return all replies and errors."""
        replies = [*replies]
        await self._load_scripts(self, commands, replies)
        until = time.monotonic() + RETRY_SECONDS
        for attempt in itertools.count():
            both = zip(commands, replies, strict=True)
            left = [index for index, (one, reply) in enumerate(both) if self._is_left(one, reply)]
            if not left or time.monotonic() > until:
                break
            if attempt:
                await asyncio.sleep(_pause_seconds(attempt, random.random()))
            await self._send_again(commands, replies, left)
        return replies

    def _is_left(self, command: _Command, reply: object) -> bool:
        if isinstance(reply, NoScriptError):
            return command[0][1] in self._sources
        return isinstance(reply, NOT_EXECUTED)

    async def _send_again(
        self, commands: Sequence[_Command], replies: list[Any], left: Iterable[int]
    ) -> None:
        """Send those that are left to where their errors say."""
        at: dict[Redis, list[int]] = {}
        for index in left:
            error = replies[index]
            is_ask = isinstance(error, AskError) and not isinstance(error, MovedError)
            client = await self._importer(error) if is_ask else self
            at.setdefault(client, []).append(index)
        for client, indexes in at.items():
            chosen = [commands[index] for index in indexes]
            fresh = await _send(client, chosen, asks=client is not self)
            await self._load_scripts(client, chosen, fresh)
            for index, reply in zip(indexes, fresh, strict=True):
                replies[index] = reply

    async def _load_scripts(
        self, client: Redis, commands: Sequence[_Command], replies: Sequence[Any]
    ) -> None:
        """Load the scripts on a node that does not have them."""
        both = zip(commands, replies, strict=True)
        digests = {words[1] for (words, _), reply in both if isinstance(reply, NoScriptError)}
        for digest in digests & self._sources.keys():
            await client.script_load(self._sources[digest])

    async def _importer(self, error: AskError) -> Redis:
        """Return the client of the node that our slot is being moved to."""
        host, _ = await self.topology.locate()
        node = (error.host or host, error.port)  # without a host it is the one that was asked
        if node not in self._importers:
            self._importers[node] = self._connect_to(node)
        return self._importers[node]


class _LocatedPipeline(Pipeline):
    """Commands that are sent together, and redirected one by one if Redis refuses them."""

    def __init__(self, client: LocatedRedis) -> None:
        super().__init__(client.connection_pool, client.response_callbacks, False, None)
        self._client = client

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        commands = [*self.command_stack]
        # redis-py would ask first which scripts the node has, in a round trip of its own. Those
        # that it lacks are refused and loaded.
        self.scripts.clear()
        replies = await super().execute(raise_on_error=False)
        replies = await self._client.carry_out_refused(commands, replies)
        if raise_on_error:
            self.raise_first_error(commands, replies)
        return replies


async def _send(client: Redis, commands: Iterable[_Command], *, asks: bool) -> list[Any]:
    """Send commands together; return their replies and errors."""
    pipe = Pipeline(client.connection_pool, client.response_callbacks, False, None)
    for words, options in commands:
        if asks:
            pipe.execute_command("ASKING")
        pipe.execute_command(*words, **options)
    replies = await pipe.execute(raise_on_error=False)
    return replies[1::2] if asks else replies


def _pause_seconds(attempt: int, chance: float) -> float:
    return (0.5 + chance / 2) * min(0.25, 0.02 * 2.0**attempt)
