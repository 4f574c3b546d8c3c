"""Real socket.io-client sockets under Node.js, as Python objects with awaitable expectations.

Lives here: the driving of `tests/js/clients.mjs`. One Node process hosts any number of clients.
Nothing here sleeps: every wait ends with the report it waits for, or fails at its deadline.
"""

import asyncio
import base64
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

from tests.processes import REPOSITORY, node_executable
from tests.waiting import PATIENCE_SECONDS

WEBSOCKET = ("websocket",)
POLLING = ("polling",)
UPGRADING = ("polling", "websocket")


@dataclass(frozen=True, slots=True)
class Received:
    """One event as a client's listener got it, and the text of its packet."""

    event: str
    arguments: tuple[Any, ...]
    text: str

    @property
    def payload(self) -> Any:
        """The first argument: what listeners of today take."""
        return self.arguments[0]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A `connect_error`: its sentence and its `data`, None where there is none."""

    message: str
    data: Any

    @property
    def code(self) -> str:
        return str(self.data["code"])


def binary(size: int) -> dict[str, int]:
    """Stand for so many bytes in an emitted event's arguments."""
    return {"$bytes": size}


class JsClient:
    """One socket. Its history only grows; reading events moves a cursor through them."""

    def __init__(self, name: str, user: str | None, host: "NodeHost") -> None:
        self.name = name
        self.user = user
        self.connects = 0
        self.connected = False
        self.id = ""
        """`socket.id` of its last connect."""
        self.recovered: list[bool] = []
        """What `socket.recovered` said at each connect."""
        self.transport: str | None = None
        self.refusals: list[Refusal] = []
        self.disconnects: list[str] = []
        self.received: list[Received] = []
        self._read = 0
        self._host = host
        self._changed = asyncio.Event()

    def __repr__(self) -> str:
        state = f"on {self.transport}" if self.connected else "away"
        return f"<{self.name} {state}, {len(self.received)} events, lost {self.disconnects}>"

    def is_connected(self) -> bool:
        """Whether it is connected now; `connected` as something to wait for."""
        return self.connected

    async def until(
        self, condition: Callable[[], object], what: str, within: float = PATIENCE_SECONDS
    ) -> None:
        """Wait for something to be true of this client."""
        try:
            async with asyncio.timeout(within):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"{self!r}: {what}: not within {within:g} s") from None

    async def next_event(self, within: float = PATIENCE_SECONDS) -> Received:
        """The next event that has not been read yet, whatever it is."""
        await self.until(lambda: len(self.received) > self._read, "another event", within)
        self._read += 1
        return self.received[self._read - 1]

    async def event(self, name: str, within: float = PATIENCE_SECONDS) -> Received:
        """The next unread event, which must have this name."""
        received = await self.next_event(within)
        assert received.event == name, f"expected {name}, got {received}"
        return received

    async def up_to(self, mark: str, within: float = PATIENCE_SECONDS) -> list[Received]:
        """Read on to the event that carries `mark`, and return those before it."""
        heard: list[Received] = []
        while mark not in (received := await self.next_event(within)).text:
            heard.append(received)
        return heard

    async def refused(self) -> Refusal:
        """Wait for a `connect_error` and return the first."""
        await self.until(lambda: self.refusals, "a connect_error")
        return self.refusals[0]

    async def lost(self, within: float = PATIENCE_SECONDS) -> str:
        """Wait until the connection is gone, and return the reason that the client was told."""
        await self.until(lambda: self.disconnects, "a disconnect", within)
        return self.disconnects[0]

    async def on_websocket(self) -> None:
        """Wait until this client's transport is a WebSocket."""
        await self.until(lambda: self.transport == "websocket", "an upgrade")

    def emit(self, event: str | float, *arguments: object) -> None:
        """Emit without asking for an acknowledgement."""
        self._host.command("emit", name=self.name, event=event, args=arguments)

    async def ask(
        self, event: str | float, *arguments: object, within: float = PATIENCE_SECONDS
    ) -> Any:
        """Emit and return the acknowledgement's argument; `binary` makes arguments of bytes."""
        return await self._host.ask(self.name, event, arguments, within)

    async def join(self, chat: object) -> None:
        """Join a chat; the server must agree."""
        ack = await self.ask("join-chat", {"chatId": chat})
        assert ack == {"success": True, "data": {"chatId": chat}}

    def write(self, message: str | bytes) -> None:
        """Send one Engine.IO message as it stands: what no Socket.IO client would send."""
        if isinstance(message, str):
            self._host.command("write", name=self.name, text=message)
        else:
            text = base64.b64encode(message).decode()
            self._host.command("write", name=self.name, base64=text)

    def close(self) -> None:
        """Leave, for good."""
        self._host.command("close", name=self.name)

    def present(self, **auth: object) -> None:
        """Present something else from the next connect on, as an `auth` function does."""
        self._host.command("present", name=self.name, auth=auth)

    def sever(self) -> None:
        """Break the transport; the client will come back by itself."""
        self._host.command("sever", name=self.name)

    def take(self, report: dict[str, Any]) -> None:
        """Note what Node reports of this socket."""
        match report["kind"]:
            case "connect":
                self.connected, self.connects = True, self.connects + 1
                self.id, self.transport = report["id"], report["transport"]
                self.recovered.append(bool(report["recovered"]))
            case "upgrade":
                self.transport = report["transport"]
            case "connect_error":
                self.refusals.append(Refusal(report["message"], report.get("data")))
            case "disconnect":
                self.connected = False
                self.disconnects.append(report["reason"])
            case "event":
                arguments = tuple(report["args"])
                self.received.append(Received(report["event"], arguments, report["text"]))
        self._changed.set()


class NodeHost(asyncio.SubprocessProtocol):
    """The Node process: commands in, reports out to the clients they concern."""

    def __init__(self) -> None:
        self.clients: dict[str, JsClient] = {}
        self.failures: list[dict[str, Any]] = []
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._rest = b""
        self._stdin: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        pipe = cast("asyncio.SubprocessTransport", transport).get_pipe_transport(0)
        self._stdin = cast("asyncio.WriteTransport", pipe)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(json.loads(line))

    def process_exited(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def command(self, op: str, **values: object) -> None:
        """Hand one command to Node; what comes of it is reported."""
        assert self._stdin is not None
        self._stdin.write(json.dumps({"op": op, **values}).encode() + b"\n")

    async def ask(
        self, name: str, event: str | float, arguments: Sequence[object], within: float
    ) -> Any:
        """Emit with an acknowledgement and return its only argument."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        milliseconds = int(within * 1000)
        self.command("emit", name=name, event=event, args=arguments, n=number, within=milliseconds)
        report = await answer
        assert "error" not in report, f"{name}: {event}: {report['error']}"
        (acknowledgement,) = report["ack"]
        return acknowledgement

    def _take(self, report: dict[str, Any]) -> None:
        match report["kind"]:
            case "ready":
                self.ready.set_result(None)
            case "answer":
                self._answers.pop(report["n"]).set_result(report)
            case "failure":
                self.failures.append(report)
            case _:
                # A closed client's last reports may still be under way.
                client = self.clients.get(report["name"])
                if client is not None:
                    client.take(report)


@asynccontextmanager
async def running_node() -> AsyncIterator[NodeHost]:
    """A Node process that hosts clients; it ends, with them, at the end of its input."""
    loop = asyncio.get_running_loop()
    script = str(REPOSITORY / "tests" / "js" / "clients.mjs")
    transport, host = await loop.subprocess_exec(NodeHost, node_executable(), script, stderr=None)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await host.ready
        yield host
    finally:
        transport.close()
        await host.ended


class JsClients:
    """The clients of one test; they leave with it."""

    _sequence = itertools.count(1)

    def __init__(
        self, host: NodeHost, auth_of: Callable[[object], Mapping[str, object]] | None = None
    ) -> None:
        """`auth_of` makes of a user what its clients present; their word, where it is not given."""
        self._host = host
        self._auth_of = auth_of or (lambda user: {"userId": user})
        self._names: list[str] = []

    def open(
        self,
        url: str,
        *,
        user: object = None,
        transports: Iterable[str] = WEBSOCKET,
        auth_seconds: float = 0,
        acks: Mapping[str, Sequence[object]] | None = None,
        **options: object,
    ) -> JsClient:
        """A socket that begins to connect now; what comes of it is for the test to await.

        `options` are socket.io-client's own; without `user` and `auth` nobody is named. With
        `auth_seconds` its `auth` is a function that answers after so long. `acks` has, by event,
        the arguments of the acknowledgement; it is silent to all others.
        """
        name = f"client-{next(self._sequence)}"
        client = JsClient(name, None if user is None else str(user), self._host)
        self._host.clients[name] = client
        self._names.append(name)
        if user is not None:
            options.setdefault("auth", self._auth_of(user))
        options["transports"] = list(transports)
        milliseconds = int(auth_seconds * 1000)
        self._host.command(
            "open", name=name, url=url, options=options, authMs=milliseconds, acks=acks or {}
        )
        return client

    async def connect(
        self,
        url: str,
        *,
        user: object,
        transports: Iterable[str] = WEBSOCKET,
        **options: Any,
    ) -> JsClient:
        """A connected socket: on a WebSocket, if `transports` allows it at all."""
        client = self.open(url, user=user, transports=transports, **options)
        await client.until(lambda: client.connected, "a connection")
        if "websocket" in transports:
            await client.on_websocket()
        return client

    def close(self) -> None:
        """Let all clients of this test leave."""
        for name in self._names:
            client = self._host.clients.pop(name)
            client.close()
        self._names.clear()
        failures, self._host.failures = self._host.failures, []
        assert failures == [], "commands that tests/js/clients.mjs could not carry out"
