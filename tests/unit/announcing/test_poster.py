"""Posting the stream to a real HTTP server that accepts, refuses, fails and hangs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from redis.asyncio import Redis

from constellation_ws.announcing import outbox, poster, progress, receiver
from constellation_ws.announcing.outbox import Outbox
from constellation_ws.announcing.poster import Poster
from constellation_ws.announcing.receiver import Receiver
from constellation_ws.backends.signing import sign
from constellation_ws.observability.metrics import Metrics
from constellation_ws.redis_io.names import DEFAULT
from tests.processes import HOST, Valkey, unused_port
from tests.unit.announcing.conftest import Pod, running
from tests.waiting import PATIENCE_SECONDS, cancelled, eventually, throughout

Handle = Callable[[list[dict[str, Any]]], Awaitable[int]]


class Backend:
    """An HTTP server on this machine that does what a test tells it to."""

    def __init__(self, port: int) -> None:
        self.url = f"http://{HOST}:{port}/presence"
        self.requests: list[tuple[web.Request, bytes]] = []
        self.got: list[dict[str, Any]] = []  # accepted
        self.handle: Handle = self.accept

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.requests.append((request, body))
        events = json.loads(body)["events"]
        status = await self.handle(events)
        if status == 200:
            self.got += events
        return web.Response(status=status, text="x" * 100)

    async def accept(self, _: list[dict[str, Any]]) -> int:
        return 200

    @property
    def users(self) -> list[str]:
        return [one["userId"] for one in self.got]

    async def has(self, *users: str) -> None:
        expected = sorted(users)
        await eventually(lambda: sorted(self.users) == expected, PATIENCE_SECONDS, f"got {users}")


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    port = unused_port()
    one = Backend(port)
    application = web.Application()
    application.router.add_post("/presence", one.take)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, HOST, port).start()
    yield one
    await runner.cleanup()


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poster, "_IDLE_SECONDS", 0.02)
    monkeypatch.setattr(poster, "_OTHERS_SECONDS", 0.2)
    monkeypatch.setattr(outbox, "LEASE_SECONDS", 2.0)
    monkeypatch.setattr(progress, "_FIRST_SECONDS", 0.05)
    monkeypatch.setattr(progress, "_MOST_SECONDS", 0.2)


class Post:
    """One pod that would post."""

    def __init__(self, redis: Redis, url: str, key: str = "") -> None:
        self.metrics = Metrics()
        self.poster = Poster(Outbox(redis, DEFAULT), Receiver(url, key), self.metrics)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self.poster.run())

    async def kill(self) -> None:
        if self._task is not None:
            assert not self._task.done(), self._task
            await cancelled([self._task])
            self._task = None

    def failures(self, reason: str) -> float:
        return self.metrics.presence_failures.labels(reason)._value.get()

    def lost(self, reason: str) -> float:
        return self.metrics.presence_lost_events.labels(reason)._value.get()


@asynccontextmanager
async def posting(*posts: Post) -> AsyncIterator[None]:
    for post in posts:
        post.start()
    try:
        yield
    finally:
        for post in posts:
            await post.kill()
            await post.poster.release()


@pytest.fixture
async def pod(redis: Redis) -> AsyncIterator[Pod]:
    """One that announces."""
    one = Pod(redis, "pod-a")
    async with running(one):
        yield one


async def test_events_are_posted_in_order_and_signed(
    redis: Redis, backend: Backend, pod: Pod
) -> None:
    async with posting(Post(redis, backend.url, "a-key")):
        pod.came("Б")
        await backend.has("Б")
        pod.went("Б", reason="ping timeout")
        await backend.has("Б", "Б")
    assert [(one["status"], one["reason"]) for one in backend.got] == [
        ("online", "connected"),
        ("offline", "ping timeout"),
    ]
    for request, body in backend.requests:
        timestamp = int(request.headers["X-Constellation-Timestamp"])
        for name, value in sign(b"a-key", timestamp, body).items():
            assert request.headers[name] == value
        assert request.content_type == "application/json"


async def test_without_a_key_nothing_is_signed(redis: Redis, backend: Backend, pod: Pod) -> None:
    async with posting(Post(redis, backend.url)):
        pod.came("u")
        await backend.has("u")
    ((request, _),) = backend.requests
    assert "X-Constellation-Signature" not in request.headers


async def test_batches_are_bounded_and_one_pod_posts_at_a_time(
    redis: Redis, backend: Backend, pod: Pod
) -> None:
    users = [str(number) for number in range(1_234)]
    pod.came(*users)
    await pod.written()
    posts = [Post(redis, backend.url) for _ in range(3)]
    async with posting(*posts):
        await backend.has(*users)
        assert [post.poster.unposted for post in posts].count(0) >= 2
    assert len(backend.requests) == 13
    sequences = [one["sequence"] for one in backend.got]
    assert sequences == sorted(sequences)


async def test_a_backend_that_fails_for_a_while_gets_everything_afterwards(
    redis: Redis, backend: Backend, pod: Pod
) -> None:
    statuses = [500, 404, 401, 302, 503, 429]

    async def fail(events: list[dict[str, Any]]) -> int:
        return statuses.pop(0) if statuses else 200

    backend.handle = fail
    post = Post(redis, backend.url)
    async with posting(post):
        pod.came("u")
        await eventually(lambda: len(statuses) < 3, PATIENCE_SECONDS, "it is tried again")
        assert post.poster.unposted == 1
        pod.went("u")
        await backend.has("u", "u")
        await eventually(lambda: post.poster.unposted == 0, PATIENCE_SECONDS, "nothing is left")
    assert [one["status"] for one in backend.got] == ["online", "offline"]
    assert post.failures("failed") == 6
    assert post.lost("refused") == 0


async def test_a_backend_that_hangs_is_given_up_in_time_and_tried_again(
    redis: Redis, backend: Backend, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver, "POST_SECONDS", 0.3)

    async def hang(events: list[dict[str, Any]]) -> int:
        await asyncio.Event().wait()
        return 200

    backend.handle = hang
    post = Post(redis, backend.url)
    async with posting(post):
        pod.came("u")
        await eventually(lambda: post.failures("timeout") > 1, PATIENCE_SECONDS, "it is noticed")
        backend.handle = backend.accept
        await backend.has("u")


async def test_a_backend_that_is_not_there_is_tried_again(redis: Redis, pod: Pod) -> None:
    post = Post(redis, f"http://{HOST}:{unused_port()}/")
    async with posting(post):
        pod.came("u")
        await eventually(lambda: post.failures("unreachable") > 1, PATIENCE_SECONDS, "twice")
        assert post.poster.unposted == 1


async def test_an_event_that_the_backend_refuses_is_the_only_one_that_is_lost(
    redis: Redis, backend: Backend, pod: Pod
) -> None:
    async def refuse(events: list[dict[str, Any]]) -> int:
        return 422 if any(one["userId"] == "bad" for one in events) else 200

    backend.handle = refuse
    pod.came("1", "bad", "2", "3")
    await pod.written()
    post = Post(redis, backend.url)
    async with posting(post):
        await backend.has("1", "2", "3")
        pod.came("4", "5")
        await backend.has("1", "2", "3", "4", "5")
    assert post.lost("refused") == 1


async def test_another_pod_goes_on_where_the_one_that_posted_died_or_stopped(
    redis: Redis, backend: Backend, pod: Pod
) -> None:
    first, second = Post(redis, backend.url), Post(redis, backend.url)
    async with posting(first, second):
        pod.came("1")
        await backend.has("1")
        await eventually(lambda: first.poster.unposted == 0, PATIENCE_SECONDS, "accepted")
        await first.kill()
        pod.came("2")
        await eventually(lambda: "2" in backend.users, PATIENCE_SECONDS, "the other goes on")
        await second.poster.release()
        first.start()
        pod.came("3")
        await eventually(lambda: "3" in backend.users, PATIENCE_SECONDS, "the first goes on")
    assert list(dict.fromkeys(backend.users)) == ["1", "2", "3"]


async def test_what_was_accepted_is_not_posted_again_after_a_stop(
    redis: Redis, backend: Backend, pod: Pod
) -> None:
    first, second = Post(redis, backend.url), Post(redis, backend.url)
    async with posting(first):
        pod.came("1")
        await backend.has("1")
        await first.poster.release()
        pod.came("2")
        await pod.written()
        async with posting(second):
            await backend.has("1", "2")


async def test_events_that_were_removed_before_they_were_posted_are_counted(
    redis: Redis, backend: Backend, pod: Pod
) -> None:
    pod.came(*map(str, range(10)))
    await pod.written()
    await redis.xtrim(DEFAULT.presence_events, maxlen=3, approximate=False)
    post = Post(redis, backend.url)
    async with posting(post):
        await eventually(lambda: len(backend.got) == 3, PATIENCE_SECONDS, "the rest is posted")
        await eventually(lambda: post.lost("removed") == 7, PATIENCE_SECONDS, "counted")


async def test_what_others_append_to_the_stream_is_not_posted(
    redis: Redis, backend: Backend, pod: Pod
) -> None:
    for _ in range(150):  # more than a batch
        await redis.xadd(DEFAULT.presence_events, {"data": "no JSON"})
    async with posting(Post(redis, backend.url)):
        pod.came("u")
        await backend.has("u")


async def test_a_redis_that_hangs_or_is_flushed_does_not_end_it(
    redis: Redis, backend: Backend, pod: Pod, valkey: Valkey
) -> None:
    post = Post(redis, backend.url)
    async with posting(post):
        pod.came("u")
        await backend.has("u")
        with valkey.hanging():
            await eventually(
                lambda: post.failures("redis") > 0, PATIENCE_SECONDS, "Redis does not answer"
            )
        await redis.flushall()
        await eventually(lambda: len(backend.got) == 2, PATIENCE_SECONDS, "it goes on")
        assert backend.got[1]["reason"] == "restored"
        await throughout(lambda: len(backend.got) == 2, 0.5, "once")
