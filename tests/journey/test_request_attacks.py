"""Attacks on namespaces of a table, on requests to backends, and on those who may send to them.

A hostile client, an emitter or a service that names what is not its own, and backends that
misbehave. At the end no pod has logged a traceback.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import socketio
from aiohttp import web

from tests.conformance.wire import SOCKET_IO, Wire, websocket
from tests.http_api import api_client
from tests.http_site import Site, http_site
from tests.journey.conftest import StartGateway
from tests.journey.publishing import Publisher
from tests.js_clients import JsClient, JsClients, binary
from tests.nest_client import nest_client
from tests.processes import HOST, Gateway, Valkey
from tests.waiting import PATIENCE_SECONDS, eventually
from tests.websocket_frames import CLOSE, TEXT

pytestmark = pytest.mark.asyncio(loop_scope="session")

TABLE = """
[[namespace]]
name = "/shop"

[[namespace]]
name = "/orders"

[[namespace]]
name = "/"
identity = "none"

[[backend]]
name = "web"
http = "{site}/gateway"
timeout_ms = 700

[[backend]]
name = "hung"
nest = "{host}:{hung_port}"
timeout_ms = 1500
max_concurrent = 16

[[request]]
namespace = "/orders"
event = "follow"
joins = ["order:{{orderId}}"]

[[request]]
namespace = "/orders"
event = "pay"
to = "http"
backend = "web"
path = "/echo"
in_room = "order:{{orderId}}"
rooms = true
types = {{ amount = "number?" }}

[[request]]
namespace = "/orders"
event = "echo"
to = "http"
backend = "web"
path = "/echo"

[[request]]
namespace = "/orders"
event = "redirect"
to = "http"
backend = "web"
path = "/redirect"

[[request]]
namespace = "/orders"
event = "huge"
to = "http"
backend = "web"
path = "/huge"

[[request]]
namespace = "/orders"
event = "endless"
to = "http"
backend = "web"
path = "/endless"

[[request]]
namespace = "/orders"
event = "hang"
to = "nest"
backend = "hung"

[[request]]
namespace = "/orders"
event = "shout"
to = "channel"
channel = "orders:shout"

[[request]]
namespace = "/"
event = "watch"
joins = ["shop:{{shopId}}"]

[[request]]
namespace = "/"
event = "ask"
to = "http"
backend = "web"
path = "/echo"

[[route]]
channel = "order:moved"
namespace = "/orders"
event = "order-moved"
keys = ["orderId"]
to = ["order:{{orderId}}"]
volatile = true

[[route]]
channel = "order:status"
namespace = "/orders"
event = "order-status"
keys = ["status"]
to = ["user:{{userId}}", "order:{{orderId}}"]

[[route]]
channel = "shop:open"
event = "shop-open"
keys = ["shopId"]
to = ["user:{{userId}}", "shop:{{shopId}}"]
"""
PUBLISHER, SENDER, READER = ("publisher-0123456789", "sender-0123456789", "reader-0123456789")
BURST = 1_000


@dataclass(frozen=True, slots=True)
class World:
    """Two pods of the table, and the backend whose answers the tests decide."""

    a: Gateway
    b: Gateway
    site: Site


async def answer(request: web.Request) -> web.StreamResponse:
    """Answer as a backend that goes wrong, by the path; `/echo` gives the text that it got."""
    match request.path:
        case "/gateway/redirect":
            return web.Response(status=307, headers={"Location": "/gateway/echo"})
        case "/gateway/huge":
            return web.Response(body=b'"' + b"x" * 2_000_000 + b'"')
        case "/gateway/endless":
            response = web.StreamResponse()
            await response.prepare(request)
            while True:
                await response.write(b" ")
                await asyncio.sleep(0.05)
    body = (await request.read()).decode()
    headers = {name.lower(): value for name, value in request.headers.items()}
    return web.json_response({"text": body, "headers": headers})


@asynccontextmanager
async def hung_server() -> AsyncIterator[int]:
    """A server that accepts connections and answers nothing; its port."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1 << 16):
            pass
        writer.close()

    server = await asyncio.start_server(accept, HOST, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(
    valkey: Valkey, gateway: StartGateway, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    """Nobody else uses these pods; what is not set here is as it is shipped."""
    path: Path = tmp_path_factory.mktemp("table") / "interface.toml"
    keys = f"publisher:{PUBLISHER}:publish,sender:{SENDER}:send,reader:{READER}:read"
    async with http_site(answer) as site, hung_server() as hung_port:
        _write_table(path, site=site.root, hung_port=hung_port)
        own: dict[str, Any] = {
            "CONSTELLATION_INTERFACE_FILE": path,
            "CONSTELLATION_REDIS_PREFIX": "attacked",
            "CONSTELLATION_API_PORT": 0,
            "CONSTELLATION_API_KEYS": keys,
        }
        async with gateway(valkey.url, **own) as a, gateway(valkey.url, **own) as b:
            yield World(a, b, site)
            for pod in (a, b):
                assert pod.exit_code is None
                assert pod.stray_lines() == []
                assert not [line for line in pod.lines() if '"exception"' in line]


def _write_table(path: Path, **values: object) -> None:
    path.write_text(TABLE.format(host=HOST, **values))


def url(pod: Gateway, namespace: str) -> str:
    return pod.http_url + namespace


async def customer(world: World, js: JsClients, user: str, **options: Any) -> JsClient:
    return await js.connect(url(world.a, "/orders"), user=user, **options)


@asynccontextmanager
async def raw_member(pod: Gateway, user: str, namespace: str = "/orders") -> AsyncIterator[Wire]:
    """A WebSocket of the test's own, in a namespace."""
    async with websocket(pod.ws_port, SOCKET_IO) as wire:
        await wire.message()
        await enter(wire, namespace, {"userId": user})
        yield wire


async def enter(wire: Wire, namespace: str, auth: object) -> dict[str, Any]:
    """CONNECT to a namespace and give the answer's data."""
    name = "" if namespace == "/" else f"{namespace},"
    await wire.send(f"40{name}{json.dumps(auth)}")
    packet = await wire.packet()
    assert isinstance(packet, str)
    assert packet.startswith(f"40{name}"), packet
    data: dict[str, Any] = json.loads(packet[len(f"40{name}") :])
    return data


async def asked(wire: Wire, event: str, argument: str, namespace: str = "/orders") -> Any:
    """Send a request whose arguments are JSON text, and give its ack."""
    name = "" if namespace == "/" else f"{namespace},"
    arguments = f",{argument}" if argument else ""
    await wire.send(f'42{name}7["{event}"{arguments}]')
    packet = await wire.packet()
    assert isinstance(packet, str)
    assert packet.startswith(f"43{name}7["), packet
    (ack,) = json.loads(packet[len(f"43{name}7") :])
    return ack


async def test_nothing_that_a_client_says_is_what_the_gateway_says(
    world: World, js: JsClients, mine: str
) -> None:
    ann = await customer(world, js, f"ann{mine}")
    forged = {
        "userId": "mallory",
        "sid": "x",
        "rooms": ["user:mallory"],
        "address": "1.2.3.4",
        "claims": {"admin": True},
        "traceparent": f"00-{'a' * 32}-{'b' * 16}-01",
        "X-Injected": "a\r\nX-Injected: 1",
        "__proto__": {"admin": True},
        "constructor": {"prototype": 1},
    }
    ack = await ann.ask("echo", forged)
    sent = json.loads(ack["text"])
    assert sent["data"] == forged
    got = {key: sent.get(key) for key in forged}
    assert got == dict.fromkeys(forged) | {
        "userId": ann.user,
        "sid": got["sid"],
        "address": HOST,
    }
    assert got["sid"] != "x"
    assert set(ack["headers"]) == {
        "host",
        "content-type",
        "accept-encoding",
        "accept",
        "user-agent",
        "content-length",
    }


@pytest.mark.parametrize(
    "text",
    [
        '{"orderId":"hers%s","orderId":"%s"}',
        '{"orderId":"%s","orderId":"hers%s"}',
        '{"orderId":"hers%s","order\\u0049d":"%s"}',
        '{"orderId":"%s","orderid":"hers%s"}',
        '{"orderId":"hers%s","x":{"orderId":1},"orderId":"%s","cut":"\\ud83d"}',
        '{"orderId":"%s","x":"%s","amount":1,"amount":"all"}',
    ],
)
async def test_a_key_that_occurs_twice_is_refused_before_a_backend_reads_the_other(
    world: World, mine: str, text: str
) -> None:
    async with raw_member(world.a, f"ann{mine}") as wire:
        assert (await asked(wire, "follow", json.dumps({"orderId": mine})))["success"]
        assert "text" in await asked(wire, "pay", json.dumps({"orderId": mine, "x": [{}, {}]}))
        before = len(world.site.asked)
        ack = await asked(wire, "pay", text % (mine, mine))
        assert ack["error"]["code"] == "invalid_request", ack
        assert "once" in ack["error"]["message"]
        assert len(world.site.asked) == before


@pytest.mark.parametrize(
    ("sent", "is_inside"),
    [
        ("9007199254740993", True),
        ("9007199254740993.0", False),
        ("9007199254740992", False),
        ('"9007199254740993"', True),
        ("1e400", False),
        ('["9007199254740993"]', False),
        ('{"__proto__":1}', False),
        ('"\\ud83d"', False),
        ("true", False),
        ("null", False),
    ],
)
async def test_a_room_is_left_to_those_who_name_its_id_to_the_digit(
    world: World, mine: str, sent: str, is_inside: bool
) -> None:
    async with raw_member(world.a, f"ann{mine}") as wire:
        assert (await asked(wire, "follow", '{"orderId":9007199254740993}'))["success"]
        ack = await asked(wire, "pay", f'{{"orderId":{sent}}}')
        assert ("text" in ack) is is_inside, ack
        if is_inside:
            assert f'"data":{{"orderId":{sent}}}' in ack["text"]


@pytest.mark.parametrize("namespace", ["/orders", "/"])
async def test_arguments_of_any_shape_are_answered(world: World, mine: str, namespace: str) -> None:
    event = "echo" if namespace == "/orders" else "ask"
    async with raw_member(world.a, f"ann{mine}", namespace) as wire:
        for text in ("1.0", '"\\ud83d"', "[]", '{"a":1e999}', "12345678901234567890123"):
            ack = await asked(wire, event, text, namespace)
            assert f'"data":{text},' in ack["text"], ack
        for text, first in (("", "null"), ("1,2,3,4,5,6,7,8,9,10", "1")):
            ack = await asked(wire, event, text, namespace)
            assert f'"data":{first},' in ack["text"], ack


async def test_nesting_of_any_depth_costs_nobody_anything(world: World, mine: str) -> None:
    async with raw_member(world.a, f"ann{mine}") as wire:
        for cut in ("1", '"\\ud83d"'):
            for depth in [*range(900, 1_010), 1_900]:
                ack = await asked(wire, "echo", "[" * depth + cut + "]" * depth)
                is_read = ack.get("text", "").count("[") == depth
                assert is_read or ack["error"]["code"] == "unknown_event", (depth, ack)


async def test_binary_arguments_reach_no_backend(world: World, js: JsClients, mine: str) -> None:
    ann = await customer(world, js, f"ann{mine}")
    before = len(world.site.asked)
    for arguments in ((binary(10),), ({"a": [binary(3)]},), (1, binary(3))):
        ack = await ann.ask("echo", *arguments)
        assert ack["error"]["code"] == "binary_not_supported"
    assert len(world.site.asked) == before


async def test_a_request_without_an_ack_is_carried_out_and_not_answered(
    world: World, mine: str
) -> None:
    async with raw_member(world.a, f"ann{mine}") as wire:
        before = len(world.site.asked)
        await wire.send(f'42/orders,["echo","silent{mine}"]')
        ack = await asked(wire, "echo", '"loud"')  # the next packet is this one's
        assert '"data":"loud"' in ack["text"]
        assert len(world.site.asked) == before + 2


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ("redirect", "backend_unavailable"),
        ("huge", "backend_unavailable"),
        ("endless", "backend_timeout"),
    ],
)
async def test_an_http_backend_that_goes_wrong_is_not_followed_nor_read_without_end(
    world: World, js: JsClients, mine: str, event: str, code: str
) -> None:
    ann = await customer(world, js, f"ann{mine}")
    before = len(world.site.asked)
    assert (await ann.ask(event, 1))["error"]["code"] == code
    assert len(world.site.asked) == before + 1


async def test_a_burst_to_a_hanging_backend_disturbs_nobody_else(
    world: World, js: JsClients, mine: str
) -> None:
    bob = await customer(world, js, f"bob{mine}")
    memory = await world.a.metric("process_resident_memory_bytes")
    async with raw_member(world.a, f"ann{mine}") as wire:
        for number in range(BURST):
            await wire.send(f'42/orders,{number}["hang",{{"n":{number}}}]')
        loop = asyncio.get_running_loop()
        for _ in range(10):
            began = loop.time()
            assert "text" in await bob.ask("echo", 1)
            assert loop.time() - began < 1
        acks = [await wire.packet() for _ in range(BURST)]
        codes = Counter(
            json.loads(str(ack)[str(ack).index("[") :])[0]["error"]["code"] for ack in acks
        )
        assert codes.keys() == {"rate_limited", "backend_timeout"}
        assert codes["backend_timeout"] == 8
    assert await world.a.metric("process_resident_memory_bytes") - memory < 30_000_000


async def test_the_ack_of_who_left_the_namespace_reaches_no_later_session(
    world: World, mine: str
) -> None:
    labels = {"backend": "web", "outcome": "timeout"}
    before = await world.a.metric("constellation_backend_requests_total", **labels)

    async def has_timed_out() -> bool:
        return await world.a.metric("constellation_backend_requests_total", **labels) > before

    async with raw_member(world.a, f"ann{mine}") as wire:
        await wire.send('42/orders,7["endless",1]')
        await wire.send("41/orders,")
        await enter(wire, "/orders", {"userId": f"bob{mine}"})
        await eventually(has_timed_out, PATIENCE_SECONDS, "the backend's timeout is over")
        ack = await asked(wire, "echo", "1")
        assert json.loads(ack["text"])["userId"] == f"bob{mine}"


async def test_a_pid_is_worth_nothing_in_another_namespace_or_to_another_user(
    world: World, mine: str
) -> None:
    user = f"ann{mine}"
    async with websocket(world.a.ws_port, SOCKET_IO) as wire:
        await wire.message()
        mine_here = await enter(wire, "/orders", {"userId": user, "recovery": True})
        assert (await asked(wire, "follow", f'{{"orderId":"{mine}"}}'))["success"]
        anonymous = await enter(wire, "/", {"recovery": True})
        wire.reset()
    for namespace, auth in (
        ("/orders", {"userId": f"mallory{mine}", "pid": mine_here["pid"]}),
        ("/shop", {"userId": user, "pid": anonymous["pid"]}),
        ("/", {"pid": mine_here["pid"]}),
        ("/shop", {"userId": user, "pid": mine_here["pid"]}),
    ):
        async with websocket(world.b.ws_port, SOCKET_IO) as wire:
            await wire.message()
            given = await enter(wire, namespace, {**auth, "offset": "0-0"})
            assert given["pid"] != auth["pid"]
            assert given["sid"] not in (mine_here["sid"], anonymous["sid"])


async def test_connects_to_a_thousand_namespaces_leave_nothing_behind(
    world: World, js: JsClients, mine: str
) -> None:
    bob = await customer(world, js, f"bob{mine}")
    async with raw_member(world.a, f"ann{mine}") as wire:
        for number in range(BURST):
            await wire.send(f"40/{mine}{number},")
        refusals = []
        while (frame := await wire.frame())[0] == TEXT:
            refusals.append(frame[1])
        assert frame[0] == CLOSE, "for a flood"
    assert 0 < len(refusals) < BURST
    assert all(b'"invalid_namespace"' in one for one in refusals)
    metrics = (await world.a.get("/metrics")).text
    assert mine not in metrics
    assert "text" in await bob.ask("echo", 1)


async def test_services_and_emitters_of_one_namespace_reach_no_room_of_another(
    world: World, valkey: Valkey, js: JsClients, publish: Publisher, mine: str
) -> None:
    """Rooms of `/orders` are called `/orders,...` inside the gateway: nobody may say so."""
    order, user = f"o{mine}", f"ann{mine}"
    ann = await customer(world, js, user)
    eve = await js.connect(url(world.b, "/shop"), user=f"eve{mine}")
    assert (await ann.ask("follow", {"orderId": order}))["success"]
    foreign = [f"/orders,order:{order}", f"/orders,user:{user}", "/orders,"]
    emitter = socketio.AsyncRedisManager(valkey.url, write_only=True)
    async with nest_client(world.a.tcp_port) as nest:
        for room in foreign:
            for pattern, data in (
                ("joinRoom", {"userId": eve.user, "roomName": room}),
                ("leaveRoom", {"userId": eve.user, "roomName": room}),
                ("sendToRoom", {"roomName": room, "event": "forged", "data": 1}),
            ):
                response = await nest.response(pattern, data)
                assert response["success"] is False, (pattern, room)
            await emitter.emit("forged", 1, room=room, namespace="/shop")
            await emitter.enter_room(eve.user, "/shop", room)
    await emitter.redis.aclose()
    await publish("order:status", {"orderId": order, "userId": user, "status": mine})
    assert (await ann.event("order-status")).payload == {"status": mine}
    await publish("shop:open", {"shopId": mine, "userId": eve.user})
    assert (await eve.event("shop-open")).payload == {"shopId": mine}


async def test_an_ack_counts_once_and_only_of_those_who_were_asked(world: World, mine: str) -> None:
    async with (
        raw_member(world.a, f"ann{mine}") as ann,
        raw_member(world.b, f"mallory{mine}") as mallory,
        nest_client(world.b.tcp_port) as nest,
    ):
        wanted = {"userId": f"ann{mine}", "namespace": "/orders", "event": "q"}
        asking = asyncio.create_task(
            nest.ask("sendToUser", {**wanted, "data": 1, "ack": {"timeout_ms": 1_500}})
        )
        packet = await ann.message()
        assert isinstance(packet, str)
        assert packet.endswith('["q",1]')
        ack_id = packet.removeprefix("42/orders,").removesuffix('["q",1]')
        for forged in (f"{ack_id}", f"{int(ack_id) + 1}", "0", "9" * 100):
            await mallory.send(f'43/orders,{forged}["forged"]')
        await ann.send(f'43/shop,{ack_id}["in another namespace"]')
        for number in range(3):
            await ann.send(f'43/orders,{ack_id}[{number},"__proto__"]')
        answer = await asking
        assert [one["data"] for one in answer["acks"]] == [0]
        assert answer["unanswered"] == 0
        for one in (ann, mallory):
            assert (await asked(one, "follow", json.dumps({"orderId": mine})))["success"]


async def test_keys_of_the_api_have_their_scopes_in_every_namespace(
    world: World, mine: str
) -> None:
    sending = {"event": "e", "data": 1, "namespace": "/orders"}
    async with (
        api_client(world.a.api_port, PUBLISHER) as publisher,
        api_client(world.a.api_port, SENDER) as sender,
        api_client(world.a.api_port, READER) as reader,
    ):
        for client in (publisher, reader):
            assert await client.refused("POST", "/v1/users/x/send", sending) == (403, "forbidden")
        for client in (sender, reader):
            event = {"channel": "shop:open", "data": {"userId": "x"}}
            assert await client.refused("POST", "/v1/publish", event) == (403, "forbidden")
        for client in (publisher, sender):
            path = "/v1/rooms/order:1/members?namespace=/orders"
            assert await client.refused("GET", path) == (403, "forbidden")
        for client in (publisher, sender, reader):
            path = "/v1/users/x/rooms/r?namespace=/orders"
            assert await client.refused("PUT", path) == (403, "forbidden")
        for room in ("%2Forders%2Corder:1", "%2Forders%2C"):
            path = f"/v1/rooms/{room}/send"
            body = {"event": "e", "data": 1}
            assert await sender.refused("POST", path, body) == (400, "invalid_request")
            path = f"/v1/rooms/{room}/members"
            assert await reader.refused("GET", path) == (400, "invalid_request")
        unknown = await sender.refused(
            "POST", "/v1/users/x/send", sending | {"namespace": "/orders,x"}
        )
        assert unknown == (400, "invalid_request")


async def test_an_idempotency_key_is_one_request_of_one_caller(
    world: World, js: JsClients, mine: str
) -> None:
    ann = await customer(world, js, f"ann{mine}")
    eve = await js.connect(url(world.b, "/shop"), user=ann.user)
    path = f"/v1/users/{ann.user}/send"
    body = {"event": "once", "data": 1, "namespace": "/orders"}
    headers = {"Idempotency-Key": f"key{mine}"}
    async with (
        api_client(world.a.api_port, SENDER) as sender,
        api_client(world.b.api_port, SENDER) as again,
        api_client(world.b.api_port, PUBLISHER) as publisher,
    ):
        for client in (sender, again, sender):
            assert (await client.call("POST", path, body, headers=headers)).status == 202
        for other in (body | {"data": 2}, body | {"namespace": "/shop"}, {"event": "once"}):
            refusal = await again.refused("POST", path, other, headers=headers)
            assert refusal == (422, "idempotency_key_reused")
        refusal = await publisher.refused("POST", path, body, headers=headers)
        assert refusal == (403, "forbidden")
        event = {"channel": "shop:open", "data": {"userId": ann.user, "shopId": 1}}
        answer = await publisher.call("POST", "/v1/publish", event, headers=headers)
        assert answer.status == 202, "the same key of another caller is another key"
        assert (await sender.call("POST", path, body | {"event": "mark"})).status == 202
    assert (await eve.event("shop-open")).payload == {"shopId": 1}
    assert [(await ann.next_event()).event for _ in range(2)] == ["once", "mark"]
