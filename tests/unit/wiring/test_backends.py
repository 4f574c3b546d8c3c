"""Every `to` of the interface table reaches what it names: real servers, real Redis."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from redis.asyncio import Redis

from constellation_ws.backends.request import BackendRequest, encode
from constellation_ws.interface.table import Interface, InvalidInterface, load
from constellation_ws.messages.admission import Refusal
from constellation_ws.messages.events import UserId
from constellation_ws.observability.metrics import Metrics
from constellation_ws.observability.no_tracing import NO_TRACING
from constellation_ws.redis_io.endpoint import Endpoint
from constellation_ws.wiring.backends import Backends
from constellation_ws.wiring.redis_clients import RedisClients
from tests.fake_nest import Packet, fake_nest
from tests.http_site import http_site
from tests.nest_client import frame
from tests.processes import HOST, Valkey, unused_port
from tests.spawning import spawn
from tests.unit.backends.asking import ask as answer_of

REQUEST = BackendRequest(
    event="e",
    data=msgspec.Raw(b"1"),
    userId=UserId("u1"),
    sid="s",
    namespace="/orders",
    address="192.0.2.1",
)
TABLE = """
[[namespace]]
name = "/orders"

[[backend]]
name = "services"
nest = "{host}:{nest}"

[[backend]]
name = "site"
http = "http://{host}:{http}/gateway"
key_variable = "SITE_KEY"

[[request]]
event = "by-nest"
to = "nest"
backend = "services"
pattern = "orders.place"

[[request]]
event = "by-http"
to = "http"
backend = "site"
path = "/place"

[[request]]
event = "by-channel"
to = "channel"
channel = "orders:requests"

[[request]]
event = "by-log"
to = "log"
stream = "orders"
"""
NEST, HTTP = unused_port(), unused_port()
KEYS = {"SITE_KEY": "a-key-of-both"}


@pytest.fixture
def interface(tmp_path: Path) -> Interface:
    file = tmp_path / "interface.toml"
    file.write_text(TABLE.format(host=HOST, nest=NEST, http=HTTP))
    return load(file, environment=KEYS)


def make(interface: Interface, url: str) -> tuple[Backends, RedisClients]:
    endpoint = Endpoint(url)
    clients = RedisClients(endpoint)
    backends = Backends(interface, clients, endpoint, Metrics(), NO_TRACING, spawn, KEYS)
    return backends, clients


@pytest.fixture
async def backends(interface: Interface, valkey: Valkey) -> AsyncIterator[Backends]:
    one, clients = make(interface, valkey.url)
    yield one
    await one.aclose()
    await clients.aclose()


async def ask(backends: Backends, interface: Interface, event: str) -> bytes:
    (row,) = [row for row in interface.requests if row.event == event]
    backend, target = backends.find(row)
    answer = await answer_of(backend, target, REQUEST)
    assert not isinstance(answer, Refusal), answer
    return bytes(answer)


async def test_nest_gets_the_pattern(backends: Backends, interface: Interface) -> None:
    def answer(packet: Packet) -> bytes:
        return frame({"response": "by nest", "isDisposed": True, "id": packet["id"]})

    async with fake_nest(answer, NEST) as server:
        assert await ask(backends, interface, "by-nest") == b'"by nest"'
        assert server.asked[0]["pattern"] == "orders.place"


async def test_http_gets_the_path_signed_by_the_key(
    backends: Backends, interface: Interface
) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response("by http")

    async with http_site(answer, HTTP) as site:
        assert await ask(backends, interface, "by-http") == b'"by http"'
        (request,) = site.asked
    assert request.path == "/gateway/place"
    text = request.headers["X-Constellation-Timestamp"].encode() + b"." + encode(REQUEST)
    expected = hmac.new(b"a-key-of-both", text, hashlib.sha256).hexdigest()
    assert request.headers["X-Constellation-Signature"] == f"sha256={expected}"


async def test_a_channel_and_a_stream_of_redis_get_the_request(
    backends: Backends, interface: Interface, redis: Redis
) -> None:
    async with redis.pubsub() as pubsub:
        await pubsub.subscribe("orders:requests")
        await pubsub.get_message(timeout=10)
        assert await ask(backends, interface, "by-channel") == b'{"success":true}'
        published = await pubsub.get_message(timeout=10)
    assert published is not None
    assert published["data"] == encode(REQUEST)
    assert await ask(backends, interface, "by-log") == b'{"success":true}'
    assert await redis.xlen("orders") == 1


async def test_what_there_is_not_is_not_made(valkey: Valkey) -> None:
    """The default table has no backends."""
    metrics, endpoint = Metrics(), Endpoint(valkey.url)
    Backends(load(), RedisClients(endpoint), endpoint, metrics, NO_TRACING, spawn, {})
    (family,) = metrics.backend_requests.collect()
    assert family.samples == []


async def test_a_stream_that_a_cluster_keeps_elsewhere_is_a_fault(interface: Interface) -> None:
    with pytest.raises(InvalidInterface, match=r"by-log.*orders:\{constellation:events\}"):
        make(interface, "redis+cluster://one:6379,two:6379")


async def test_a_stream_in_the_gateways_slot_is_none(tmp_path: Path) -> None:
    file = tmp_path / "interface.toml"
    table = TABLE.format(host=HOST, nest=NEST, http=HTTP)
    file.write_text(table.replace('"orders"\n', '"orders:{constellation:events}"\n'))
    make(load(file, environment=KEYS), "redis+cluster://one:6379,two:6379")
