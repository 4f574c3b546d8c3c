"""What the gateway relies on in python-socketio, python-engineio, uvicorn and redis-py.

Canaries: much of this surface is private, so a release may move it without notice. Each test fails
with a sentence that says what has moved and where it is used. What the gateway does with it is
tested elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import json
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from typing import Any

import engineio
import hiredis
import pytest
import socketio
import uvicorn
from engineio import packet as eio
from engineio.base_server import BaseServer as EngineIoBaseServer
from redis import exceptions as redis_errors
from redis._parsers.base import BaseParser
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.connection import AbstractConnection, Connection
from redis.exceptions import RedisError, ResponseError
from socketio import async_manager, async_server, base_manager, base_server
from socketio import packet as sio
from socketio.exceptions import ConnectionRefusedError as ConnectRefused
from uvicorn.protocols.http import flow_control
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from constellation_ws.engine.session import EngineSession
from constellation_ws.http.lobby import Lobby
from constellation_ws.http.protocol import HttpProtocol
from constellation_ws.http.refusals import response_to
from constellation_ws.http.upgrade_request import Upgrade, UpgradeRequest
from constellation_ws.runtime.turn_queue import TurnQueue
from constellation_ws.socketio.membership import Membership
from tests.processes import HOST, Valkey, running_valkey, unused_port
from tests.waiting import PATIENCE_SECONDS, eventually

NAMESPACE = "/chats"


def parameters(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)


def calls_on(attribute: str, *modules: Any) -> set[str]:
    """The names that are read from `self.<attribute>` in the sources of modules."""
    sources = "\n".join(inspect.getsource(module) for module in modules)
    return set(re.findall(rf"self\.{attribute}\.(\w+)", sources))


@pytest.mark.parametrize(
    ("distribution", "series"),
    [
        ("python-socketio", "5.18."),
        ("python-engineio", "4.15."),
        ("uvicorn", "0.54."),
        ("redis", "8."),
        ("hiredis", "3."),
    ],
)
def test_the_installed_release_is_of_the_series_that_was_read(
    distribution: str, series: str
) -> None:
    version = metadata.version(distribution)
    assert version.startswith(series), (
        f"{distribution} is {version}: read its private surface again (this file lists what is "
        f"used), then change the range in pyproject.toml and here"
    )


# python-socketio


class StubEngine(engineio.AsyncServer):  # type: ignore[misc]  # python-engineio is untyped
    """An Engine.IO server whose sockets are a dictionary, and which keeps what is sent."""

    def __init__(self) -> None:
        super().__init__(async_mode="asgi", monitor_clients=False)
        self.sent: list[tuple[str, Any]] = []

    async def send(self, sid: str, data: Any) -> None:
        self.sent.append((sid, data))


class StockServer(socketio.AsyncServer):  # type: ignore[misc]  # python-socketio is untyped
    """python-socketio's server on the stub, with handlers of each kind."""

    def __init__(self) -> None:
        self.stub = StubEngine()
        self.heard: list[tuple[Any, ...]] = []
        super().__init__(async_handlers=False)
        self.on("connect", self._on_connect, namespace=NAMESPACE)
        self.on("disconnect", self._on_disconnect, namespace=NAMESPACE)
        self.on("ask", self._on_ask, namespace=NAMESPACE)
        self.on("*", self._on_anything, namespace=NAMESPACE)

    def _engineio_server_class(self) -> Callable[..., StubEngine]:
        return lambda **_: self.stub

    def _on_connect(self, sid: str, environ: Any, auth: Any) -> None:
        self.heard.append(("connect", environ, auth))
        if auth == "refuse me":
            raise ConnectRefused("No.", {"code": "unauthorized"})

    def _on_disconnect(self, sid: str, reason: str) -> None:
        self.heard.append(("disconnect", reason))

    def _on_ask(self, sid: str, *args: Any) -> dict[str, Any]:
        self.heard.append(("ask", *args))
        return {"success": True}

    def _on_anything(self, event: str, sid: str, *args: Any) -> dict[str, Any]:
        self.heard.append(("*", event, *args))
        return {"success": False}

    async def connected(self, eio_sid: str = "eio-1") -> str:
        """Connect a client to the namespace; its sid."""
        await self.stub.handlers["connect"](eio_sid, {"a": "request"})
        await self.stub.handlers["message"](eio_sid, '0/chats,{"userId":"u1"}')
        return json.loads(self.stub.sent.pop()[1].removeprefix("0/chats,"))["sid"]


async def test_socketio_builds_its_engine_from_the_class_that_a_subclass_names() -> None:
    server = StockServer()
    assert server.eio is server.stub, (
        "socketio.AsyncServer no longer makes its engine with `_engineio_server_class()`: "
        "socketio/server.py puts ours there"
    )
    assert set(server.stub.handlers) == {"connect", "message", "disconnect"}, (
        "socketio.AsyncServer registers other handlers with its engine: engine/server.py "
        "calls connect(sid, environ), message(sid, data) and disconnect(sid, reason)"
    )


@pytest.mark.parametrize(
    ("name", "expected", "waits"),
    [
        ("_handle_eio_connect", ["self", "eio_sid", "environ"], True),
        ("_handle_eio_message", ["self", "eio_sid", "data"], True),
        ("_handle_eio_disconnect", ["self", "eio_sid", "reason"], True),
        ("_handle_connect", ["self", "eio_sid", "namespace", "data"], True),
        ("_handle_disconnect", ["self", "eio_sid", "namespace", "reason"], True),
        ("_handle_event", ["self", "eio_sid", "namespace", "id", "data"], True),
        ("_handle_ack", ["self", "eio_sid", "namespace", "id", "data"], True),
        ("_trigger_event", ["self", "event", "namespace", "args"], True),
        ("_send_packet", ["self", "eio_sid", "pkt"], True),
        ("_engineio_server_class", ["self"], False),
    ],
)
def test_socketio_methods_that_are_overridden_have_the_same_shape(
    name: str, expected: list[str], waits: bool
) -> None:
    method = getattr(socketio.AsyncServer, name, None)
    assert method is not None, f"socketio.AsyncServer.{name} is gone; the engine overrides it"
    assert parameters(method) == expected, f"socketio.AsyncServer.{name} takes other arguments"
    assert inspect.iscoroutinefunction(method) is waits, f"{name} waits, or waits no longer"


def test_socketio_disconnect_takes_a_sid_and_a_namespace() -> None:
    assert parameters(socketio.AsyncServer.disconnect)[:3] == ["self", "sid", "namespace"], (
        "socketio.AsyncServer.disconnect takes other arguments; the engine overrides it"
    )


def test_socketio_asks_its_manager_for_nothing_that_we_do_not_replace() -> None:
    assert calls_on("manager", async_server, base_server) <= {
        "can_disconnect",
        "close_room",
        "connect",
        "disconnect",
        "eio_sid_from_sid",
        "emit",
        "enter_room",
        "get_namespaces",
        "get_rooms",
        "initialize",
        "is_connected",
        "leave_room",
        "pre_connect",
        "pre_disconnect",
        "set_server",
        "sid_from_eio_sid",
        "trigger_callback",
    }, "python-socketio asks its manager something new: see whether Membership answers it"


def test_socketios_index_of_rooms_is_replaced_whole() -> None:
    index = {
        name
        for name, method in vars(base_manager.BaseManager).items()
        if inspect.isfunction(method)
        and re.search(r"self\.(rooms|eio_to_sid|pending_\w+)\b", inspect.getsource(method))
    }
    # Ours keeps its indexes in `rooms` too, of which `get_namespaces` reads but the names.
    missed = index - set(vars(Membership)) - {"__init__", "get_namespaces"}
    assert not missed, (
        f"socketio's BaseManager reads its own index in {sorted(missed)}: "
        f"socketio/membership.py must override what it replaces"
    )


def test_socketio_reads_no_more_of_the_managers_rooms_than_which_namespaces_there_are() -> None:
    members = Membership()
    assert set(members.get_namespaces()) == {NAMESPACE}
    uses = re.findall(r"self\.rooms\b.*", inspect.getsource(async_manager))
    assert uses == ["self.rooms:"], "socketio's AsyncManager reads rooms that are ours by now"


def test_socketios_manager_methods_take_what_ours_take() -> None:
    for name in set(vars(Membership)) & set(dir(base_manager.BaseManager)):
        if name.startswith("__"):
            continue
        theirs = [p for p in parameters(getattr(base_manager.BaseManager, name)) if p != "kwargs"]
        ours = parameters(getattr(Membership, name))
        assert ours[: len(theirs)] == theirs, f"BaseManager.{name} takes other arguments: {theirs}"


def test_socketio_asks_its_engine_for_nothing_that_we_do_not_offer() -> None:
    assert calls_on("eio", async_server, base_server) <= {
        "async_mode",
        "attach",
        "create_event",
        "get_session",
        "handle_request",
        "on",
        "send",
        "send_packet",
        "shutdown",
        "sleep",
        "start_background_task",
        "transport",
    }, "python-socketio asks its engine something new: see whether engine/server.py has it"


async def test_socketio_calls_handlers_and_acknowledges_as_we_count_on() -> None:
    server = StockServer()
    await server.connected()
    for text in (
        '2/chats,7["ask",{"chatId":"c"},2]',
        '2/chats,8["whatever",1]',
        '2/chats,["ask"]',
    ):
        await server.stub.handlers["message"]("eio-1", text)
    assert server.heard == [
        ("connect", {"a": "request"}, {"userId": "u1"}),
        ("ask", {"chatId": "c"}, 2),
        ("*", "whatever", 1),
        ("ask",),
    ], "python-socketio calls handlers with other arguments; chats/namespace.py registers these"
    assert server.stub.sent == [
        ("eio-1", '3/chats,7[{"success":true}]'),
        ("eio-1", '3/chats,8[{"success":false}]'),
    ], "python-socketio acknowledges in another form, or where no acknowledgement was asked for"


async def test_socketio_refuses_with_the_message_and_data_of_the_exception() -> None:
    server = StockServer()
    await server.stub.handlers["connect"]("eio-1", {})
    await server.stub.handlers["message"]("eio-1", '0/chats,"refuse me"')
    assert server.stub.sent == [
        ("eio-1", '4/chats,{"message":"No.","data":{"code":"unauthorized"}}')
    ], "a refused connection is answered otherwise; chats/namespace.py raises it"
    assert server.manager.get_rooms("whoever", NAMESPACE) == []


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (lambda server: server.stub.handlers["message"]("eio-1", "1/chats,"), "client disconnect"),
        (lambda server: server.stub.handlers["disconnect"]("eio-1", "drain"), "drain"),
    ],
)
async def test_socketio_tells_the_reason_of_a_disconnect_and_forgets_the_member(
    end: Callable[[StockServer], Any], reason: str
) -> None:
    server = StockServer()
    sid = await server.connected()
    await end(server)
    assert server.heard[-1] == ("disconnect", reason), "disconnect handlers get another reason"
    assert server.manager.get_rooms(sid, NAMESPACE) == []


async def test_socketio_keeps_the_request_of_a_connection_until_its_end() -> None:
    server = StockServer()
    await server.connected()
    assert server.environ == {"eio-1": {"a": "request"}}, "`environ` of socketio.AsyncServer moved"
    await server.stub.handlers["disconnect"]("eio-1", "x")
    assert server.environ == {}, "socketio.AsyncServer no longer forgets the request of a session"


async def test_socketio_still_answers_an_unknown_namespace_with_a_bare_string() -> None:
    server = StockServer()
    await server.stub.handlers["connect"]("eio-1", {})
    await server.stub.handlers["message"]("eio-1", "0/nowhere,")
    assert server.stub.sent == [("eio-1", '4/nowhere,"Unable to connect"')], (
        "python-socketio answers an unknown namespace otherwise: our own answer in "
        "socketio/server.py may have become needless"
    )


def test_socketio_numbers_its_packets_as_the_protocol_does() -> None:
    numbers = (sio.CONNECT, sio.DISCONNECT, sio.EVENT, sio.ACK, sio.CONNECT_ERROR)
    assert (*numbers, sio.BINARY_EVENT, sio.BINARY_ACK) == tuple(range(7))


@pytest.mark.parametrize(
    ("packet", "written"),
    [
        (sio.Packet(sio.EVENT, ["x", {}], NAMESPACE, 12), '2/chats,12["x",{}]'),
        (sio.Packet(sio.ACK, [1], None, 3), "3[1]".replace("3[", "33[")),
        (sio.Packet(sio.CONNECT_ERROR, {"a": 1}, "/"), '4{"a":1}'),
        (
            sio.Packet(sio.EVENT, ["x", b"y"], NAMESPACE),
            ['51-/chats,["x",{"_placeholder":true,"num":0}]', b"y"],
        ),
    ],
)
def test_socketio_writes_packets_as_our_reader_reads_them(packet: sio.Packet, written: Any) -> None:
    assert packet.encode() == written


async def test_socketios_redis_manager_publishes_json_with_the_keys_we_read(
    valkey: Valkey, redis: Redis
) -> None:
    emitter = socketio.AsyncRedisManager(valkey.url, write_only=True)
    async with redis.pubsub() as pubsub:
        await pubsub.subscribe("socketio")
        await pubsub.get_message(timeout=PATIENCE_SECONDS)
        await emitter.emit("e", b"\x00", namespace=NAMESPACE, room="r", skip_sid="s")
        message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=PATIENCE_SECONDS)
    await emitter.redis.aclose()
    assert message is not None, "AsyncRedisManager publishes on another channel than `socketio`"
    assert json.loads(message["data"]) == {
        "method": "emit",
        "event": "e",
        "data": [[{"_placeholder": True, "num": 0}], "AA=="],
        "binary": True,
        "namespace": NAMESPACE,
        "room": "r",
        "skip_sid": "s",
        "callback": None,
        "host_id": emitter.host_id,
    }, "AsyncRedisManager publishes in another form; messages/python_emitter.py reads it"


# python-engineio


class StubSocket:
    """What `AsyncServer` asks of a socket, beside what our engine overrides."""

    def __init__(self, closed: bool = False) -> None:
        self.closed = closed
        self.upgraded = True
        self.connected = True
        self.session: dict[str, Any] | None = None
        self.closes = 0

    async def close(self, wait: bool = True, abort: bool = False, reason: Any = None) -> None:
        self.closes += 1


async def test_engineio_keeps_its_sockets_in_a_dictionary_that_we_may_fill() -> None:
    server, here = StubEngine(), StubSocket()
    server.sockets["a"] = here
    server.sockets["b"] = StubSocket(closed=True)
    assert server._get_socket("a") is here, "engineio.AsyncServer looks elsewhere for its sockets"
    for gone in ("b", "c"):
        with pytest.raises(KeyError):
            server._get_socket(gone)


async def test_engineio_asks_a_socket_for_no_more_than_a_session_of_ours_has() -> None:
    server, here = StubEngine(), StubSocket()
    server.sockets["a"] = here
    await server.save_session("a", {"x": 1})
    assert await server.get_session("a") == {"x": 1}
    assert server.transport("a") == "websocket"
    await server.disconnect("a")
    assert here.closes == 1, "engineio.AsyncServer.disconnect no longer calls the socket's close()"
    offered = set(EngineSession.__slots__) | set(vars(EngineSession))
    assert {"closed", "upgraded", "connected", "session", "close", "send"} <= offered


def test_engineio_makes_ids_that_nobody_guesses_and_that_need_no_quoting() -> None:
    server = StubEngine()
    ids = {server.generate_id() for _ in range(200)}
    assert len(ids) == 200
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{20}", one) for one in ids), "generate_id() has moved"


def test_engineio_takes_the_arguments_of_our_engine() -> None:
    server = StubEngine()
    assert server.handlers == {}, "engineio.AsyncServer keeps its handlers elsewhere"
    server.on("connect", print)
    assert server.handlers == {"connect": print}
    assert server.start_service_task is False, "`monitor_clients=False` has lost its meaning"


def test_engineio_names_the_reasons_that_we_give() -> None:
    reason = EngineIoBaseServer.reason
    names = ("SERVER_DISCONNECT", "CLIENT_DISCONNECT", "PING_TIMEOUT", "TRANSPORT_CLOSE")
    assert [getattr(reason, name) for name in (*names, "TRANSPORT_ERROR")] == [
        "server disconnect",
        "client disconnect",
        "ping timeout",
        "transport close",
        "transport error",
    ], "the reasons of a disconnect are labels of a metric: they have changed"
    assert socketio.AsyncServer.reason is reason


def test_engineio_numbers_its_packets_as_the_protocol_does() -> None:
    numbers = (eio.OPEN, eio.CLOSE, eio.PING, eio.PONG, eio.MESSAGE, eio.UPGRADE, eio.NOOP)
    assert numbers == tuple(range(7))
    packet = eio.Packet(eio.MESSAGE, "text")
    assert (packet.packet_type, packet.data) == (eio.MESSAGE, "text")


# uvicorn


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__(extra={"peername": ("10.0.0.9", 5), "sockname": ("10.0.0.1", 80)})
        self.written = b""
        self.protocol: asyncio.BaseProtocol | None = None
        self.closed = False
        self.is_read = True

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


def http_protocol(wire: Wire, upgrades: Mapping[str, Upgrade]) -> HttpProtocol:
    """Make a connection of ours as uvicorn's server makes it."""
    config = uvicorn.Config(
        no_app,
        http=functools.partial(  # type: ignore[arg-type]  # called like the class
            HttpProtocol,
            turns=TurnQueue(),
            upgrades=upgrades,
            lobby=Lobby(10, response_to),
            idle=Lobby(10, response_to),
        ),
        ws=asyncio.Protocol,
        lifespan="off",
    )
    config.load()
    state = uvicorn.server.ServerState()
    make_protocol: Any = config.http_protocol_class  # any callable, though its type says a class
    protocol = make_protocol(config=config, server_state=state, app_state={})
    assert isinstance(protocol, HttpProtocol)
    protocol.connection_made(wire)
    assert state.connections == {protocol}, "uvicorn keeps its connections elsewhere"
    return protocol


async def no_app(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("no request gets here")


HANDSHAKE = (
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: h\r\nUpgrade: WebSocket\r\n"
    b"Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\nX-Y: z\r\n\r\n"
)


async def test_uvicorn_knows_of_an_upgrade_what_we_read_there() -> None:
    seen: list[tuple[Any, UpgradeRequest]] = []
    taken: list[bytes] = []

    class Next(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            taken.append(data)

    def upgrade(transport: asyncio.Transport, request: UpgradeRequest) -> asyncio.Protocol:
        seen.append((transport, request))
        return Next()

    wire = Wire()
    protocol = http_protocol(wire, {"/socket.io": upgrade})
    protocol.data_received(HANDSHAKE + b"\x89\x80mask")
    ((transport, request),) = seen
    assert transport is wire, "`transport` of HttpToolsProtocol moved"
    assert (request.path, request.query) == ("/socket.io/", "EIO=4&transport=websocket")
    assert (request.method, request.version) == (b"GET", b"HTTP/1.1"), "`scope` moved"
    assert request.address == "10.0.0.9", "`client` of HttpToolsProtocol moved"
    assert (b"x-y", b"z") in request.headers, "HttpToolsProtocol no longer lowers headers' names"
    assert taken == [b"\x89\x80mask"], "httptools no longer says where an upgrade's bytes begin"
    assert isinstance(wire.protocol, Next)
    assert wire.written == b"", "uvicorn answers an upgrade by itself"
    assert not protocol.connections


async def test_uvicorn_reads_a_request_in_the_steps_that_ours_replaces() -> None:
    """http/protocol.py has `data_received` and `connection_made` of its own."""
    names = set(HttpToolsProtocol.data_received.__code__.co_names)
    assert names == {
        "_unset_keepalive_if_required",
        "parser",
        "feed_data",
        "httptools",
        "HttpParserError",
        "HttpParserUpgrade",
        "logger",
        "warning",
        "send_400_response",
        "_should_upgrade",
        "handle_websocket_upgrade",
        "_unsupported_upgrade_warning",
    }, "HttpToolsProtocol.data_received() does something else than it did"
    made = set(HttpToolsProtocol.connection_made.__code__.co_names)
    assert made == {
        "connections",
        "add",
        "transport",
        "FlowControl",
        "flow",
        "get_local_addr",
        "server",
        "get_remote_addr",
        "client",
        "is_ssl",
        "scheme",
        "logger",
        "level",
        "TRACE_LOG_LEVEL",
        "log",
    }, "HttpToolsProtocol.connection_made() does something else than it did"
    upgrading = set(HttpToolsProtocol.handle_websocket_upgrade.__code__.co_names)
    assert "connections" in upgrading, "somebody else has to discard an upgraded connection"


async def test_uvicorns_flow_control_asks_nothing_else_of_what_it_is_given() -> None:
    assert calls_on("_transport", flow_control) == {"pause_reading", "resume_reading"}, (
        "uvicorn's FlowControl uses more of a transport: http/protocol.py gives it "
        "the protocol, which pauses its parsing as well"
    )
    wire = Wire()
    protocol = http_protocol(wire, {})
    protocol.flow.pause_reading()
    assert not wire.is_read
    protocol.flow.resume_reading()
    assert wire.is_read


async def test_uvicorns_timer_of_idle_connections_is_where_we_set_and_clear_it() -> None:
    wire = Wire()
    protocol = http_protocol(wire, {})
    timer = protocol.timeout_keep_alive_task
    assert timer is not None, "ours has set it for the first head"
    protocol.data_received(b"GET / HTTP/1.1\r\nHost: h\r\n")
    assert protocol.timeout_keep_alive_task is timer
    protocol._unset_keepalive_if_required()
    assert timer.cancelled()
    HttpToolsProtocol.on_response_complete(protocol)
    again = protocol.timeout_keep_alive_task
    assert again is not None, "uvicorn arms another timer when a response is complete"
    protocol.timeout_keep_alive_handler()
    assert wire.closed
    again.cancel()


async def test_uvicorns_request_cycle_tells_whether_it_is_answered() -> None:
    wire = Wire()
    protocol = http_protocol(wire, {})
    protocol.data_received(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    assert protocol.cycle.response_complete is False
    scope = protocol.cycle.scope
    assert scope["server"] == ("10.0.0.1", 80), "set by ours, since its `connection_made` does not"
    assert (scope["client"], scope["scheme"]) == (("10.0.0.9", 5), "http")
    protocol.data_received(HANDSHAKE)
    assert wire.written.startswith(b"HTTP/1.1 400 "), "behind a request that waits"
    (task,) = protocol.tasks
    task.cancel()
    await asyncio.wait([task])
    await asyncio.sleep(0)


async def test_uvicorn_serves_a_given_socket_leaves_signals_to_us_and_ends_when_told() -> None:
    class Child(uvicorn.Server):
        captured = False

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            type(self).captured = True
            yield

    async def hello(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            hello,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
            backlog=16,
        )
        server = Child(config)
        assert parameters(uvicorn.Server.startup) == ["self", "sockets"]
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await eventually(lambda: server.started, PATIENCE_SECONDS, "uvicorn has started")
        assert Child.captured, "uvicorn.Server.serve no longer uses capture_signals()"
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert (await reader.read()).startswith(b"HTTP/1.1 204")
        writer.close()
        await writer.wait_closed()
        server.should_exit = True
        async with asyncio.timeout(PATIENCE_SECONDS):
            await serving
        assert hasattr(server, "force_exit"), "uvicorn.Server.force_exit moved"


# redis-py and hiredis


def test_hiredis_packs_texts_bytes_and_numbers_as_redis_reads_them() -> None:
    pack: Any = hiredis.pack_command  # its type knows commands of one word only
    packed = pack(("XREAD", b"\x00\r\n", 12))
    assert packed == b"*3\r\n$5\r\nXREAD\r\n$3\r\n\x00\r\n\r\n$2\r\n12\r\n", (
        "hiredis.pack_command writes otherwise; redis_io/link.py sends with it"
    )


async def test_redis_py_gives_a_connection_whose_transport_takes_another_protocol(
    redis: Redis,
) -> None:
    received = asyncio.Queue[bytes]()

    class Reader(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            received.put_nowait(data)

    pool: Any = redis.connection_pool
    connection = await pool.get_connection()
    try:
        assert isinstance(getattr(connection, "_writer", None), asyncio.StreamWriter), (
            "redis-py's connection no longer keeps a StreamWriter in `_writer`: "
            "redis_io/link.py reads from its transport"
        )
        connection._writer.transport.set_protocol(Reader())
        pack: Any = hiredis.pack_command
        connection._writer.transport.write(pack(("SUBSCRIBE", "a", b"b")))
        parser = hiredis.Reader()
        replies: list[Any] = []
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(replies) < 3:
                parser.feed(await received.get())
                while (reply := parser.gets()) is not False:
                    replies.append(list(reply))
                if len(replies) == 2:
                    await redis.publish("a", b"\x00")
        assert replies == [
            [b"subscribe", b"a", 1],
            [b"subscribe", b"b", 2],
            [b"message", b"a", b"\x00"],
        ]
    finally:
        await connection.disconnect(nowait=True)
        await pool.release(connection)
    assert connection._writer is None, "disconnect() leaves redis-py's connection connected"
    # The pool hands the same connection out again, connected anew.
    assert await redis.ping()


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("WRONGTYPE no stream", ResponseError),
        ("OOM command not allowed", ResponseError),
        ("LOADING it is", redis_errors.ConnectionError),
        ("MOVED 1 127.0.0.1:7001", redis_errors.MovedError),
        ("ASK 1 127.0.0.1:7001", redis_errors.AskError),
        ("READONLY a replica", redis_errors.ReadOnlyError),
    ],
)
def test_redis_py_makes_an_exception_of_a_replys_text(reply: str, kind: type[Exception]) -> None:
    # redis_io/command_queue.py reads replies without redis-py, and gives what redis-py would raise.
    assert isinstance(BaseParser.parse_error(reply), kind)


async def test_redis_pys_failures_are_of_the_kinds_that_we_catch() -> None:
    # redis_io/link.py (FAULTS) and chats/presence.py catch these and nothing else.
    async with Redis.from_url(f"redis://{HOST}:{unused_port()}") as redis:
        pool: Any = redis.connection_pool
        for call in (redis.publish("a", "b"), pool.get_connection(), redis.zcard("a")):
            with pytest.raises((RedisError, OSError)):
                await call


async def test_redis_py_raises_its_own_error_where_it_may_not_enter() -> None:
    with running_valkey() as valkey:
        async with Redis.from_url(valkey.url) as redis:
            await redis.config_set("requirepass", "open sesame")
        async with Redis.from_url(valkey.url) as redis:
            pool: Any = redis.connection_pool
            for call in (redis.publish("a", "b"), pool.get_connection()):
                with pytest.raises(RedisError):
                    await call


async def test_redis_py_never_sends_a_command_twice_by_itself(valkey: Valkey) -> None:
    async with Redis.from_url(valkey.url) as redis:
        pool: Any = redis.connection_pool
        assert pool.make_connection().retry.get_retries() == 0, (
            "Redis.from_url now retries by itself: a PUBLISH might be delivered twice, and a "
            "reconnect takes longer than redis_io/bus.py promises"
        )


def test_redis_py_connects_and_follows_pipelines_by_the_methods_that_ours_replace() -> None:
    # redis_io/client.py overrides these; under another name ours would never be called.
    for name in (
        "connect", "disconnect", "read_response", "on_connect_check_health", "_connect",
        "_connection_arguments", "mark_for_reconnect",
    ):  # fmt: skip
        assert name in {*dir(AbstractConnection), *dir(Connection)}, f"{name} is gone"
    source = inspect.getsource(AbstractConnection)
    assert "self.on_connect_check_health(" in source
    assert "self._connect()" in source
    assert "self._connection_arguments()" in inspect.getsource(Connection)
    assert "connection.connect()" in inspect.getsource(ConnectionPool.ensure_connection)
    assert "should_reconnect()" in inspect.getsource(ConnectionPool.release)
    pipeline = inspect.signature(Pipeline.__init__).parameters
    assert [*pipeline] == [
        "self", "connection_pool", "response_callbacks", "transaction", "shard_hint"
    ]  # fmt: skip
