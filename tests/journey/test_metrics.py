"""What a scraper sees of gateways under real traffic, and what nobody can make it see."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families as families
from redis.asyncio import Redis

from tests.journey.conftest import Pods, StartGateway
from tests.journey.publishing import Publisher
from tests.js_clients import POLLING, WEBSOCKET, JsClients
from tests.nest_client import NestClient, nest_client
from tests.otlp import running_collector
from tests.processes import HOST, Gateway, Valkey, running_valkey
from tests.waiting import PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
LARGE = "x" * 100_000
# How many values each label may have, whatever clients and publishers do.
MOST_VALUES = 40


async def test_the_way_from_publisher_to_sockets_is_timed_and_its_writes_are_counted(
    pods: Pods, js: JsClients, publish: Publisher, mine: str
) -> None:
    bob, pod = f"bob{mine}", pods.a
    client = await js.connect(pod.chats_url, user=bob, transports=WEBSOCKET)
    before = await _counts(pod)

    event = {"chatId": "c", "recipientId": bob, "text": "Hello"}
    await publish.burst([("chat:newMessage", event)] * 200)
    for _ in range(200):
        await client.event("new-message")

    grown = {name: value - before[name] for name, value in (await _counts(pod)).items()}
    assert grown["publish_to_write_seconds_count"] == 200
    assert grown["publish_to_write_seconds_sum"] > 0
    assert 1 <= grown["write_duration_seconds_count"] <= 200
    assert 1 <= grown["writes_total"] <= 200
    assert 1 <= grown["coalesced_writes_total"] <= grown["writes_total"]
    assert grown["writes_total"] < 200, "a burst is written in fewer calls than it has events"
    await eventually(
        lambda: pod.metric("constellation_event_loop_lag_seconds_count"),
        PATIENCE_SECONDS,
        "the event loop's lag is measured",
    )


async def test_with_live_delivery_an_event_is_timed_from_its_arrival(
    gateway: StartGateway, js: JsClients, mine: str
) -> None:
    with running_valkey() as valkey:
        async with (
            Redis.from_url(valkey.url) as redis,
            gateway(valkey.url, CONSTELLATION_DELIVERY="live") as pod,
        ):
            client = await js.connect(pod.chats_url, user=f"bob{mine}")
            await Publisher(redis)("chat:new", {"userId": f"bob{mine}", "chatId": 1})
            await client.event("new-chat")
            assert await pod.metric("constellation_publish_to_write_seconds_count") == 1
            assert await pod.metric("constellation_log_lag_seconds") == 0
            js.close()


async def test_the_times_of_a_traced_event_name_its_trace(
    valkey: Valkey, gateway: StartGateway, js: JsClients, publish: Publisher, mine: str
) -> None:
    async with (
        running_collector() as collector,
        gateway(valkey.url, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url) as pod,
    ):
        client = await js.connect(pod.chats_url, user=f"bob{mine}")
        context = f"00-{TRACE_ID}-b7ad6b7169203331-01"
        event = {"userId": f"bob{mine}", "chatId": 1, "traceparent": context}
        await publish("chat:new", event)
        await client.event("new-chat")

        answer = await pod.get("/metrics", OPENMETRICS)
        shown = {
            (family.name, sample.exemplar.labels["trace_id"])
            for family in openmetrics_families(answer.text)
            for sample in family.samples
            if sample.exemplar is not None
        }
        timed = ("publish_to_write_seconds", "write_duration_seconds")
        assert shown == {(f"constellation_{name}", TRACE_ID) for name in timed}
        assert TRACE_ID not in (await pod.get("/metrics")).text, "plain text has no exemplars"
        js.close()


async def test_what_waits_for_a_client_that_does_not_read_is_seen(
    pods: Pods, publish: Publisher, mine: str
) -> None:
    bob, pod = f"bob{mine}", pods.b
    async with _silent_client(pod, bob):

        async def waits() -> float:
            await publish("chat:newMessage", {"chatId": "c", "recipientId": bob, "text": LARGE})
            return await pod.metric("constellation_write_buffer_bytes")

        await eventually(waits, PATIENCE_SECONDS, "bytes wait for it")
        assert await pod.metric("constellation_write_buffer_largest_bytes") > 0


async def test_the_logs_lag_is_how_old_its_newest_entry_was(gateway: StartGateway) -> None:
    with running_valkey() as valkey:
        async with gateway(valkey.url) as pod, Redis.from_url(valkey.url) as redis:
            milliseconds = (int(time.time()) - 60) * 1000

            async def lag() -> float:
                nonlocal milliseconds
                milliseconds += 1
                entry: dict[Any, Any] = {"channel": "chat:new", "data": "{}"}
                await redis.xadd("constellation:events", entry, id=f"{milliseconds}-0")
                return await pod.metric("constellation_log_lag_seconds")

            assert await eventually(lag, PATIENCE_SECONDS, "an old entry was read") > 30
            await eventually(lambda: _has_no_lag(pod), PATIENCE_SECONDS, "nothing more waits")


async def test_a_drain_tells_how_many_it_has_left_and_until_when(
    valkey: Valkey, gateway: StartGateway, js: JsClients, mine: str
) -> None:
    """Its delay is longer than anything here may take; a second signal ends it."""
    async with gateway(valkey.url, CONSTELLATION_DRAIN_DELAY_SECONDS=300) as pod:
        for _ in range(2):
            await js.connect(pod.chats_url, user=f"bob{mine}")
        assert await pod.metric("constellation_drain_remaining") == 0
        assert await pod.metric("constellation_drain_deadline_timestamp_seconds") == 0

        pod.signal(signal.SIGTERM)
        await eventually(
            lambda: pod.metric("constellation_draining"), PATIENCE_SECONDS, "the drain has begun"
        )
        assert await pod.metric("constellation_drain_remaining") == 2
        deadline = await pod.metric("constellation_drain_deadline_timestamp_seconds")
        assert 0 < deadline - time.time() <= 301
        js.close()
        await pod.terminate()


async def test_metrics_on_a_port_of_their_own_are_there_alone_and_to_the_end(
    valkey: Valkey, gateway: StartGateway
) -> None:
    settings = {"CONSTELLATION_METRICS_PORT": 0, "CONSTELLATION_DRAIN_DELAY_SECONDS": 300}
    async with gateway(valkey.url, **settings) as pod:
        assert pod.metrics_port != pod.ws_port
        for path in ("/livez", "/readyz", "/health"):
            assert (await pod.get(path)).status == 200
            assert (await pod.get(path, port=pod.metrics_port)).status == 404
        assert (await pod.get("/metrics")).status == 404
        answer = await pod.get("/metrics", OPENMETRICS, port=pod.metrics_port)
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        pod.signal(signal.SIGTERM)
        await eventually(
            lambda: pod.metric("constellation_draining"), PATIENCE_SECONDS, "still told in a drain"
        )
        await pod.terminate()
        assert pod.stray_lines() == []


async def _request_hostile_names(nest: NestClient, user: str, hostile: str) -> None:
    await nest.request(f"pattern{hostile}", {"userId": hostile})
    await nest.request({"cmd": f"cmd{hostile}"}, None)
    to = {"userId": user, "event": f"emitted{hostile}", "data": hostile}
    await nest.request("sendToUser", to)
    gone = {"userId": f"nobody{hostile}", "reason": f"reason{hostile}"}
    await nest.request("disconnectUser", gone)


async def test_no_client_service_or_publisher_can_add_labels(
    gateway: StartGateway, js: JsClients, mine: str
) -> None:
    """Each of them sends a hundred names of its own; all come to a handful that we chose."""
    with running_valkey() as valkey:
        async with (
            gateway(valkey.url) as pod,
            nest_client(pod.tcp_port) as nest,
            Redis.from_url(valkey.url) as redis,
        ):
            client = await js.connect(pod.chats_url, user=f"bob{mine}", transports=POLLING)
            for hostile in (f"{mine}-{n}" for n in range(100)):
                await client.ask(f"event{hostile}", {"chatId": hostile})
                await _request_hostile_names(nest, f"bob{mine}", hostile)
                await redis.publish(f"channel{hostile}", json.dumps({"userId": hostile}))
                fields: dict[Any, Any] = {"channel": f"channel{hostile}", "data": "{}"}
                await redis.xadd("constellation:events", fields)
                await pod.get(f"/socket.io/?EIO=4&transport=transport{hostile}")
                await pod.get(f"/socket.io/?EIO=4&transport=polling&sid=sid{hostile}")
            await _refused_clients(js, pod, mine)
            gone = {"userId": f"bob{mine}", "reason": f"reason{mine}"}
            await nest.request("disconnectUser", gone)
            await client.lost()

            text = (await pod.get("/metrics")).text
            assert mine not in text
            values: dict[tuple[str, str], set[str]] = {}
            for sample, label, value in _labels(text):
                values.setdefault((sample, label), set()).add(value)
            assert {
                where: found for where, found in values.items() if len(found) > MOST_VALUES
            } == {}
            assert values["constellation_tcp_request_duration_seconds_count", "pattern"] >= {
                "unknown"
            }
            js.close()


async def _counts(pod: Gateway) -> dict[str, float]:
    names = (
        "publish_to_write_seconds_count",
        "publish_to_write_seconds_sum",
        "write_duration_seconds_count",
        "writes_total",
        "coalesced_writes_total",
    )
    return {name: await pod.metric(f"constellation_{name}") for name in names}


async def _has_no_lag(pod: Gateway) -> bool:
    return await pod.metric("constellation_log_lag_seconds") == 0


async def _refused_clients(js: JsClients, pod: Gateway, mine: str) -> None:
    """Clients with identities that nobody can have."""
    async with aiohttp.ClientSession() as session:
        for n in range(20):
            url = f"{pod.http_url}/socket.io/?EIO=4&transport=polling"
            async with session.get(url) as answer:
                sid = json.loads((await answer.text())[1:])["sid"]
            auth = json.dumps({"userId": {f"key{mine}": n}})
            for packet in (f"40/chats,{auth}", f"40/namespace{mine}-{n},"):
                async with session.post(f"{url}&sid={sid}", data=packet) as answer:
                    await answer.read()


def _labels(text: str) -> Iterator[tuple[str, str, str]]:
    for family in families(text):
        for sample in family.samples:
            for label, value in sample.labels.items():
                yield sample.name, label, value


@asynccontextmanager
async def _silent_client(pod: Gateway, user: str) -> AsyncIterator[None]:
    """A client in its user's room that reads no more than its library does by itself."""
    async with aiohttp.ClientSession() as session:
        url = f"ws://{HOST}:{pod.ws_port}/socket.io/?EIO=4&transport=websocket"
        async with session.ws_connect(url, max_msg_size=0) as socket:
            await socket.send_str(f'40/chats,{{"userId":"{user}"}}')
            yield
