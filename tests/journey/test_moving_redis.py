"""Redis that is another one after a while: a slot that is moved, a primary cut off, renewed TLS.

Everything goes on meanwhile: what is published reaches every client once, and a join that was
acknowledged is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from constellation_ws.redis_io.names import DEFAULT
from tests.certificates import Authority
from tests.journey.conftest import StartGateway
from tests.journey.publishing import Publisher
from tests.journey.test_topologies import documented_user
from tests.js_clients import JsClient, JsClients
from tests.processes import HOST, Valkey, running_valkey, unused_port
from tests.valkeys import (
    LastingValkey,
    RedisCluster,
    lasting_valkey,
    redis_cluster,
    renew,
    running_sentinel,
    server_context,
    tls_port,
)
from tests.waiting import PATIENCE_SECONDS, cancelled, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

ON_A_CLUSTER = ["+cluster|slots", "+cluster|nodes", "+exists", "+asking", "+get", "+set"]
WINDOW_SECONDS = 10
"""How long the slot is on its way; longer than pods remember what they have heard."""


class Stream:
    """Publishes fifty numbered events a second, as the API does."""

    def __init__(self, redis: Redis, user: str) -> None:
        self.sent = 0
        self._publish = Publisher(redis)
        self._user = user

    async def run(self) -> None:
        while True:
            event = {"chatId": "c", "recipientId": self._user, "messageId": self.sent}
            await self._publish("chat:newMessage", event)
            self.sent += 1
            await asyncio.sleep(0.02)

    async def goes_on(self, seconds: float) -> None:
        """Wait until so much more has been published."""
        until = self.sent + seconds * 50
        await eventually(lambda: self.sent >= until, seconds * 10, "more is published")


@asynccontextmanager
async def streaming(url: str, user: str) -> AsyncIterator[Stream]:
    async with Redis.from_url(url) as redis:
        stream = Stream(redis, user)
        task = asyncio.create_task(stream.run())
        try:
            yield stream
        finally:
            await cancelled([task])


async def has_all(client: JsClient, stream: Stream) -> None:
    """Wait for the last event, and see that each has come once and in order."""
    await client.until(
        lambda: client.received and client.received[-1].payload["messageId"] == stream.sent - 1,
        "the last event",
    )
    assert [one.payload["messageId"] for one in client.received] == list(range(stream.sent))


async def test_everything_goes_on_while_the_slot_of_our_keys_is_moved(
    tmp_path: Path, gateway: StartGateway, js: JsClients, mine: str
) -> None:
    """By users who may do what is documented, and no more."""
    user = f"bob{mine}"
    name, *words = documented_user("durable")
    with redis_cluster(tmp_path) as cluster:
        await cluster.is_whole()
        for node in cluster.nodes:
            async with Redis.from_url(node.url) as redis:
                await redis.execute_command("ACL", "SETUSER", name, *words, *ON_A_CLUSTER)
        url = f"redis+cluster://{name}:change-me@{HOST}:{cluster.third.port}"
        async with gateway(url) as a, gateway(url) as b:
            clients = [
                await js.connect(pod.chats_url, user=user, auth=asks(user)) for pod in (a, b)
            ]
            async with streaming(cluster.third.url, user) as stream:
                await stream.goes_on(1)
                move = await cluster.begin_move()
                await joined(clients, f"early{mine}")
                await stream.goes_on(WINDOW_SECONDS / 2)
                await move.move_all()
                await joined(clients, f"late{mine}")
                await stream.goes_on(WINDOW_SECONDS / 2)
                await move.finish()
                await stream.goes_on(1)
            async with Redis.from_url(move.target.url) as redis:
                assert await redis.get(DEFAULT.meeting), "pods have agreed where to subscribe"
            for client in clients:
                await has_all(client, stream)
                client.sever()
                await client.until(lambda: client.connects == 2, "a return")
                assert client.recovered == [False, True]
            await has_rooms(clients, cluster, f"early{mine}", f"late{mine}")
            for pod in (a, b):
                assert await pod.metric("constellation_log_gaps_total") == 0


@pytest.mark.long
async def test_everything_goes_on_while_the_slot_is_moved_by_valkey_itself(
    tmp_path: Path, gateway: StartGateway, js: JsClients, mine: str
) -> None:
    user = f"bob{mine}"
    with redis_cluster(tmp_path) as cluster:
        await cluster.is_whole()
        url = f"redis+cluster://{HOST}:{cluster.third.port}"
        async with gateway(url) as pod:
            client = await js.connect(pod.chats_url, user=user, auth=asks(user))
            async with streaming(cluster.third.url, user) as stream:
                await stream.goes_on(1)
                await cluster.move_atomically()
                await joined([client], f"c{mine}")
                await stream.goes_on(1)
                await cluster.move_atomically()
                await stream.goes_on(1)
            await has_all(client, stream)


async def joined(clients: list[JsClient], chat: str) -> None:
    for client in clients:
        await client.join(chat)


async def has_rooms(clients: list[JsClient], cluster: RedisCluster, *chats: str) -> None:
    """See that the clients are in the rooms of these chats, where nobody else is addressed."""
    async with Redis.from_url(cluster.third.url) as redis:
        for chat in chats:
            await Publisher(redis)(
                "chat:typing", {"chatId": chat, "userId": "x", "participants": []}
            )
            for client in clients:
                await client.until(
                    lambda: client.received[-1].payload.get("chatId") == chat,
                    f"an event of {chat}",
                )


async def test_a_primary_that_is_cut_off_from_its_quorum_is_left(
    tmp_path: Path, gateway: StartGateway, js: JsClients, mine: str
) -> None:
    user = f"bob{mine}"
    with redis_cluster(tmp_path) as cluster:
        await cluster.is_whole()
        url = f"redis+cluster://{HOST}:{cluster.owner.port}"
        async with gateway(url) as a, gateway(url) as b:
            clients = [await js.connect(pod.chats_url, user=user) for pod in (a, b)]
            await reaches(clients, cluster.third, user, "before")
            await cluster.cut_off(cluster.owner)
            await reaches(clients, cluster.third, user, "after")
            async with Redis.from_url(cluster.owner.url) as cut_off:
                assert await cut_off.execute_command("CLUSTER", "MYID")  # it is there all the time
            for pod in (a, b):
                await eventually(pod.is_ready, PATIENCE_SECONDS, "the pod is ready")
                moves = pod.log("the Redis primary has changed")
                assert [move["now"] for move in moves] == [f"{HOST}:{cluster.replica.port}"]

            async def is_reported() -> bool:
                """What was published meanwhile reached nobody who could have recorded it."""
                lost = [await pod.metric("constellation_lost_events_total") for pod in (a, b)]
                return sum(lost) > 0

            await eventually(is_reported, PATIENCE_SECONDS, "the loss is reported")


async def test_of_sentinels_that_disagree_the_newer_one_is_believed(
    tmp_path: Path, gateway: StartGateway, js: JsClients, mine: str
) -> None:
    """The old primary is cut off from the Sentinel that has replaced it, and works on."""
    user = f"bob{mine}"
    stale = unused_port()
    with (
        lasting_valkey(tmp_path / "a") as primary,
        lasting_valkey(
            tmp_path / "b",
            replicaof=f"{HOST} {primary.port}",
            repl_diskless_sync_delay=0,
            replica_priority=1,
        ) as replica,
        running_sentinel(tmp_path / "s", primary.port) as port,
    ):
        await knows_the_replica(port)
        url = f"redis+sentinel://{HOST}:{stale},{HOST}:{port}/0/main"
        async with gateway(url) as pod:
            client = await js.connect(pod.chats_url, user=user)
            await reaches([client], primary, user, "before")
            async with Redis.from_url(primary.url) as redis:
                # Only Sentinels send it.
                await redis.execute_command("ACL", "SETUSER", "default", "-ping")
            await is_primary(replica)
            await reaches([client], replica, user, "after")
            with running_sentinel(tmp_path / "t", primary.port, stale):
                await eventually(lambda: names(stale, primary), PATIENCE_SECONDS, "it answers")
                async with Redis.from_url(replica.url) as redis:
                    for kind in ("normal", "pubsub"):
                        await redis.execute_command("CLIENT", "KILL", "TYPE", kind)
                await reaches([client], replica, user, "at last")
                async with Redis.from_url(primary.url) as redis:
                    assert await redis.pubsub_numsub("chat:new") == [(b"chat:new", 0)]
            moves = pod.log("the Redis primary has changed")
            assert [move["now"] for move in moves] == [f"{HOST}:{replica.port}"]


async def test_renewed_certificates_of_redis_are_read_while_the_gateway_runs(
    tmp_path: Path, gateway: StartGateway, js: JsClients, mine: str
) -> None:
    user = f"bob{mine}"
    authority = Authority(tmp_path)
    certificate, key = authority.issue("gateway")
    context = server_context(authority, asks_clients=True)
    with running_valkey() as valkey:
        async with tls_port(valkey.port, context) as (port, wire):
            url = (
                f"rediss://{HOST}:{port}/0?ssl_ca_certs={authority.cert_file}"
                f"&ssl_certfile={certificate}&ssl_keyfile={key}"
            )
            async with gateway(url) as pod:
                client = await js.connect(pod.chats_url, user=user)
                await reaches([client], valkey, user, "before")
                (tmp_path / "new").mkdir()
                renewed = Authority(tmp_path / "new", "next")
                renew(context, renewed)
                for new, old in zip(renewed.issue("gateway"), (certificate, key), strict=True):
                    new.replace(old)
                renewed.cert_file.replace(authority.cert_file)
                assert not wire.break_all()
                await reaches([client], valkey, user, "after")
                await eventually(pod.is_ready, PATIENCE_SECONDS, "the pod is ready")
                assert pod.log("tls files reloaded")


async def reaches(
    clients: list[JsClient], at: LastingValkey | Valkey, user: str, mark: str
) -> None:
    """Publish until all have got it: what is published while nobody is subscribed is lost."""
    async with Redis.from_url(at.url) as redis:

        async def has_come() -> bool:
            await Publisher(redis)("chat:new", {"userId": user, "chatId": mark})
            return all(
                any(one.payload == {"chatId": mark} for one in client.received)
                for client in clients
            )

        await eventually(has_come, PATIENCE_SECONDS, f"{mark}: an event comes through")


async def knows_the_replica(port: int) -> None:
    async with Redis.from_url(f"redis://{HOST}:{port}") as sentinel:

        async def is_known() -> bool:
            try:
                return bool(await sentinel.execute_command("SENTINEL", "REPLICAS", "main"))
            except RedisError:
                return False  # it has just been started

        await eventually(is_known, PATIENCE_SECONDS, "the Sentinel knows the replica")


async def names(port: int, primary: LastingValkey) -> bool:
    async with Redis.from_url(f"redis://{HOST}:{port}") as sentinel:
        words = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")
        try:
            return await sentinel.execute_command(*words) == [HOST.encode(), b"%d" % primary.port]
        except RedisError:
            return False  # it has just been started


async def is_primary(node: LastingValkey) -> None:
    async with Redis.from_url(node.url) as redis:

        async def is_promoted() -> bool:
            try:
                return (await redis.execute_command("ROLE"))[0] == b"master"
            except RedisError:
                return False  # a replica that is promoted hangs up

        await eventually(is_promoted, PATIENCE_SECONDS, "the replica is promoted")


def asks(user: str) -> dict[str, object]:
    return {"userId": user, "recovery": True}
