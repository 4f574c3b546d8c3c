"""One event, one trace: from the span of whoever publishes to the sockets, whichever way it came.

Two pods, real publishers and a collector. What counts is what was exported.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from tests.journey.conftest import StartGateway
from tests.js_clients import JsClients
from tests.nest_client import frame, nest_client
from tests.otlp import Collector, running_collector
from tests.processes import REPOSITORY, Gateway, Valkey, running_valkey, tcp_stream
from tests.traced_publisher import FOLDER, TracedPublisher, traced_publisher
from tests.waiting import eventually
from tools.observe.spans import SeenSpan

pytestmark = pytest.mark.asyncio(loop_scope="session")

PATIENCE = 30.0
PAGE = REPOSITORY / "docs" / "tracing.md"
CONTEXT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}"


@dataclass(frozen=True, slots=True)
class World:
    """Two pods that export what they see, and who publishes to them."""

    valkey: Valkey
    a: Gateway
    b: Gateway
    collector: Collector
    publisher: TracedPublisher


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(gateway: StartGateway) -> AsyncIterator[World]:
    """Pods that log all they can, so that what must not be logged would be."""
    async with running_collector() as collector:
        settings = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": 50,
            "OTEL_RESOURCE_ATTRIBUTES": "k8s.pod.name=pod-1,k8s.namespace.name=chat",
            "CONSTELLATION_LOG_LEVEL": "debug",
        }
        with running_valkey() as valkey:
            async with (
                gateway(valkey.url, **settings) as a,
                gateway(valkey.url, **settings) as b,
                traced_publisher(valkey.url, a.tcp_port, collector.url) as publisher,
            ):
                yield World(valkey, a, b, collector, publisher)


def named(spans: list[SeenSpan], name: str) -> list[SeenSpan]:
    return [span for span in spans if span.name == name]


def only(spans: list[SeenSpan], name: str) -> SeenSpan:
    (span,) = named(spans, name)
    return span


def _siblings(processed: list[SeenSpan], producer: SeenSpan) -> dict[str, SeenSpan]:
    """Both pods have received the event below one span; only one had a recipient."""
    assert [span.kind for span in processed] == ["CONSUMER"] * 2
    assert {span.parent_id for span in processed} == {producer.span_id}
    assert {span.links for span in processed} == {(producer.span_id,)}
    by_outcome = {span.attributes["constellation.outcome"]: span for span in processed}
    assert by_outcome.keys() == {"delivered", "no_recipient"}
    return by_outcome


@pytest.mark.parametrize("way", ["pubsub", "stream", "fields", "tcp"])
async def test_an_event_is_one_trace_from_its_publisher_to_the_sockets(
    way: str, world: World, js: JsClients, mine: str
) -> None:
    bob, chat = f"bob{mine}", f"c{mine}"
    clients = [await js.connect(world.a.chats_url, user=bob) for _ in range(2)]
    await clients[0].join(chat)
    event: dict[str, object] = {"chatId": chat, "recipientId": bob, "text": "Hello"}

    trace_id = await world.publisher.publish(way, "chat:newMessage", event)

    for client in clients:
        # What a client gets is what it always got.
        assert (await client.event("new-message")).arguments == ({"chatId": chat, "text": "Hello"},)
    spans = await world.collector.whole_trace(trace_id, 5 if way == "tcp" else 4)
    published = named(spans, "publish chat:newMessage")
    processed = named(spans, "process chat:newMessage")
    delivered = only(spans, "deliver new-message")
    assert len(spans) == len(published) + len(processed) + 1
    assert [span.kind for span in published] == ["PRODUCER"] * len(published)
    by_the_api = published[0]
    assert (by_the_api.parent_id, by_the_api.resource["service.name"]) == ("", "publisher")
    if way == "tcp":
        assert published[1].parent_id == by_the_api.span_id
        assert published[1].resource["service.name"] == "constellation-ws"

    by_outcome = _siblings(processed, published[-1])
    assert delivered.parent_id == by_outcome["delivered"].span_id

    assert by_the_api.begun_ns <= by_outcome["delivered"].begun_ns <= delivered.begun_ns
    assert delivered.ended_ns <= by_outcome["delivered"].ended_ns
    packet = json.dumps(["new-message", {"chatId": chat, "text": "Hello"}], separators=(",", ":"))
    attributes = dict(delivered.attributes)
    assert attributes.pop("constellation.coalesced") >= 1
    assert attributes == {
        "constellation.rooms": [f"user:{bob}", f"chat:{chat}"],
        "constellation.recipients": 2,
        "constellation.slow": 0,
        "constellation.bytes": 2 * len(f"42/chats,{packet}"),
    }
    assert by_outcome["delivered"].resource["k8s.pod.name"] == "pod-1"


async def test_what_a_publisher_does_not_record_is_not_recorded_here(
    world: World, js: JsClients, mine: str
) -> None:
    bob = await js.connect(world.a.chats_url, user=f"bob{mine}")
    event = {"userId": bob.user, "chatId": "c", "traceparent": CONTEXT.format(flags="00")}
    async with nest_client(world.b.tcp_port) as nest:
        await nest.ask("chat:new", event)
    assert (await bob.event("new-chat")).payload == {"chatId": "c"}
    trace_id = await world.publisher.publish("pubsub", "chat:new", {"userId": bob.user})
    await bob.event("new-chat")

    await world.collector.whole_trace(trace_id, 4)  # which came later, by the same way
    assert world.collector.trace(CONTEXT.split("-")[1]) == []


async def delivered(world: World, name: str, user: str | None) -> SeenSpan:
    """The span of the one delivery to a user."""

    def found() -> list[SeenSpan]:
        spans = world.collector.named(f"deliver {name}")
        return [s for s in spans if s.attributes["constellation.rooms"] == [f"user:{user}"]]

    (span,) = await eventually(found, PATIENCE, "the delivery is exported")
    return span


async def test_an_event_without_context_begins_a_trace_where_it_is_delivered(
    world: World, js: JsClients, mine: str
) -> None:
    bob = await js.connect(world.a.chats_url, user=f"bob{mine}")
    async with Redis.from_url(world.valkey.url) as redis:
        await redis.publish("chat:new", json.dumps({"userId": bob.user}))
    await bob.event("new-chat")

    deliver = await delivered(world, "new-chat", bob.user)
    # The other pod, which has nobody to tell, tells nothing.
    process, _ = await world.collector.whole_trace(deliver.trace_id, 2)
    assert (process.name, process.parent_id, process.links) == ("process chat:new", "", ())


async def test_what_a_service_sends_to_a_user_is_one_trace(
    world: World, js: JsClients, mine: str
) -> None:
    bob = await js.connect(world.a.chats_url, user=f"bob{mine}")
    async with nest_client(world.b.tcp_port) as nest:
        await nest.ask("sendToUser", {"userId": bob.user, "event": "hello", "data": 1})
    await bob.event("hello")

    deliver = await delivered(world, "emitted", bob.user)
    request, process, _ = await world.collector.whole_trace(deliver.trace_id, 3)
    assert (request.name, request.kind, request.parent_id) == ("sendToUser", "SERVER", "")
    assert (process.name, process.parent_id) == (
        "process constellation:commands",
        request.span_id,
    )


async def test_what_the_command_line_publishes_is_traced_and_tells_its_trace(
    world: World, js: JsClients, mine: str
) -> None:
    bob = await js.connect(world.b.chats_url, user=f"bob{mine}")
    event = json.dumps({"userId": bob.user})
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "constellation_ws", "publish", "chat:new", event,
        cwd=REPOSITORY,
        env={
            **os.environ,
            "REDIS_URL": world.valkey.url,
            "OTEL_EXPORTER_OTLP_ENDPOINT": world.collector.url,
        },
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert process.returncode == 0
    told = re.fullmatch(r"chat:new: received by 2 gateways, trace ([0-9a-f]{32})\n", out.decode())
    assert told is not None, out

    await bob.event("new-chat")
    spans = await world.collector.whole_trace(told[1], 4)
    assert only(spans, "publish chat:new").kind == "PRODUCER"
    assert only(spans, "deliver new-chat").attributes["constellation.recipients"] == 1


async def test_the_python_of_the_page_publishes_into_a_trace(
    world: World, js: JsClients, mine: str
) -> None:
    bob = await js.connect(world.a.chats_url, user=f"bob{mine}")
    (snippet,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    event = {"userId": bob.user}
    script = f"{snippet}\npublish(redis.from_url({world.valkey.url!r}), 'chat:new', {event!r})\n"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script,
        env={
            **os.environ,
            "OTEL_EXPORTER_OTLP_ENDPOINT": world.collector.url,
            "OTEL_SERVICE_NAME": f"python{mine}",
        },
    )  # fmt: skip
    assert await process.wait() == 0

    await bob.event("new-chat")
    (published,) = [
        span
        for span in world.collector.named("publish chat:new")
        if span.resource["service.name"] == f"python{mine}"
    ]
    spans = await world.collector.whole_trace(published.trace_id, 4)
    assert {span.parent_id for span in named(spans, "process chat:new")} == {published.span_id}


async def test_the_javascript_of_the_page_is_what_the_publisher_here_runs() -> None:
    assert (FOLDER / "traced.mjs").read_text() in PAGE.read_text()


async def test_a_client_that_asks_is_told_the_trace_of_its_request(
    world: World, js: JsClients, mine: str
) -> None:
    bob = await js.connect(world.a.chats_url, user=f"bob{mine}")
    context, chat = CONTEXT.format(flags="01"), f"c{mine}"

    asked = await bob.ask("join-chat", {"chatId": chat, "traceparent": context})
    asked_only = await bob.ask("leave-chat", {"chatId": chat, "traceparent": True})
    not_asked = await bob.ask("join-chat", {"chatId": chat})

    assert not_asked == {"success": True, "data": {"chatId": chat}}
    for answer, name in ((asked, "join-chat"), (asked_only, "leave-chat")):
        assert {**answer, "traceId": ""} == {**not_asked, "traceId": ""}
        (span,) = await world.collector.whole_trace(answer["traceId"], 1)
        assert (span.name, span.kind, span.parent_id) == (name, "SERVER", "")
        assert span.attributes["user.id"] == bob.user
        assert span.attributes["constellation.outcome"] == "ok"
    (joined,) = world.collector.trace(asked["traceId"])
    # Linked, not its child: who may connect must not decide what is recorded.
    assert joined.links == (context.split("-")[2],)


async def test_a_connection_is_seen_and_so_is_what_it_missed(
    world: World, js: JsClients, mine: str
) -> None:
    context = CONTEXT.format(flags="01")
    bob = await js.connect(
        world.a.chats_url,
        user=f"bob{mine}",
        auth={"userId": f"bob{mine}", "recovery": True},
        reconnectionDelay=100,
        extraHeaders={"traceparent": context},
    )
    trace_id = await world.publisher.publish("stream", "chat:new", {"userId": bob.user})
    await bob.event("new-chat")
    await world.collector.whole_trace(trace_id, 4)

    bob.sever()
    await bob.until(lambda: bob.connects == 2, "it is back", PATIENCE)
    assert bob.recovered == [False, True]

    def connects() -> list[SeenSpan]:
        spans = world.collector.named("connect")
        return [span for span in spans if span.attributes.get("user.id") == bob.user]

    await eventually(lambda: len(connects()) == 2, PATIENCE, "both connects are exported")
    first, second = connects()
    assert first.links == second.links == (context.split("-")[2],)
    replay = only(await world.collector.whole_trace(second.trace_id, 2), "replay")
    assert replay.parent_id == second.span_id
    assert replay.attributes["constellation.outcome"] == "recovered"


async def test_pages_are_seen_without_their_query_and_probes_are_not(world: World) -> None:
    for path in ("/readyz", "/livez", "/health", "/metrics"):
        assert (await world.a.get(path)).status == 200
    parent = CONTEXT.format(flags="01").replace("0af7", "0bf8")
    answer = await world.a.get("/nowhere?token=S3CRET", headers={"traceparent": parent})
    assert answer.status == 404

    (span,) = await world.collector.whole_trace(parent.split("-")[1], 1)
    assert (span.kind, span.attributes["http.response.status_code"]) == ("SERVER", 404)
    paths = {seen.attributes.get("url.path") for seen in world.collector.spans}
    assert paths - {None} == {"/nowhere"}


async def test_a_line_that_is_logged_about_an_event_names_its_trace(
    world: World, mine: str
) -> None:
    trace_id = await world.publisher.publish("pubsub", "chat:new", {"chatId": f"c{mine}"})

    spans = await world.collector.whole_trace(trace_id, 3)
    for pod in (world.a, world.b):
        lines = [
            line
            for line in pod.log("dropped a malformed event")
            if line.get("trace_id") == trace_id
        ]
        assert len(lines) == 1
        processed = {span.span_id for span in named(spans, "process chat:new")}
        assert lines[0]["span_id"] in processed


async def test_a_pod_that_ends_sends_what_it_still_has(
    gateway: StartGateway, world: World, js: JsClients, mine: str
) -> None:
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": world.collector.url, "OTEL_SERVICE_NAME": mine}
    async with gateway(world.valkey.url, **settings) as pod:
        await js.connect(pod.chats_url, user=f"bob{mine}", reconnection=False)
        assert await pod.terminate() == 0
        connects = world.collector.named("connect")
        assert [span for span in connects if span.resource["service.name"] == mine]
        assert pod.stray_lines() == []


async def _plant_over_tcp(port: int, planted: str) -> None:
    async with nest_client(port) as nest:
        for data in ({"text": planted}, {"userId": [planted]}, planted):
            for pattern in ("chat:newMessage", "sendToUser", "noSuchPattern"):
                await nest.request(pattern, data)
    async with tcp_stream(port) as (reader, writer):
        writer.write(frame(planted) + f"{planted}#".encode())
        await reader.read()


async def test_no_text_and_no_secret_is_in_any_log_or_span(
    world: World, js: JsClients, mine: str
) -> None:
    """Planted wherever something goes wrong, or is seen: what is logged then must not quote it."""
    planted = f"PLANTED{mine}".replace("-", "")
    bob = await js.connect(
        world.a.chats_url,
        user=f"bob{mine}",
        auth={"userId": f"bob{mine}", "token": planted, "pid": "unknown", "offset": planted},
        extraHeaders={"authorization": planted, "tracestate": planted},
        query={"token": planted},
    )
    refused = js.open(world.a.chats_url, user=None, auth={"token": planted})
    await refused.refused()
    for request in ({"chatId": [planted]}, {"text": planted}, planted * 100):
        assert (await bob.ask("join-chat", request))["success"] is False
    assert (await bob.ask("send-message", {"text": planted}))["success"] is False
    async with aiohttp.ClientSession() as session:
        for path in (f"/socket.io/?EIO=4&token={planted}", f"/nowhere?token={planted}"):
            async with session.get(f"{world.a.http_url}{path}") as answer:
                assert answer.status >= 400
    await _plant_over_tcp(world.a.tcp_port, planted)
    context = {"traceparent": CONTEXT.format(flags="01"), "text": planted}
    for way in ("pubsub", "stream", "fields"):
        for event in ({}, {"recipientId": {"text": planted}}, {"recipientId": bob.user}):
            await world.publisher.publish(way, "chat:newMessage", {"text": planted, **event})
            await world.publisher.publish(way, "constellation:commands", {**context, **event})
    trace_id = await world.publisher.publish("pubsub", "chat:new", {"userId": bob.user})
    assert len(await bob.up_to("new-chat")) >= 3

    await world.collector.whole_trace(trace_id, 4)
    lines = [*world.a.lines(), *world.b.lines()]
    assert any("malformed" in line for line in lines)
    assert [line for line in lines if planted in line] == []
    assert [body for body in world.collector.bodies if planted.encode() in body] == []
