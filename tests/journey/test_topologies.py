"""Redis as it is run elsewhere: with users and permissions, behind TLS, watched by Sentinels."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.certificates import Authority
from tests.command_lines import Terminal
from tests.journey.conftest import StartGateway
from tests.journey.publishing import Publisher
from tests.js_clients import JsClients
from tests.nest_client import nest_client
from tests.processes import (
    HOST,
    REPOSITORY,
    Valkey,
    started_gateway,
)
from tests.valkeys import (
    lasting_valkey,
    redis_cluster,
    running_sentinel,
    server_context,
    tls_port,
)
from tests.waiting import PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

DELIVERY_DOCUMENT = REPOSITORY / "docs" / "delivery.md"
PRESENCE_DOCUMENT = REPOSITORY / "docs" / "presence.md"


def documented_user(mode: str) -> list[str]:
    """The words of `ACL SETUSER gateway-<mode> ...` in the documentation."""
    text = DELIVERY_DOCUMENT.read_text("utf-8")
    (block,) = (one for one in text.split("```") if f"ACL SETUSER gateway-{mode} " in one)
    command = block.partition("ACL SETUSER ")[2].replace("\\\n", " ")
    return command.split()


def documented_for_presence(mode: str) -> list[str]:
    """What the documentation adds to that user for announcing who is online."""
    text = PRESENCE_DOCUMENT.read_text("utf-8")
    (words,) = re.findall(rf"^\| `{mode}` \| (.*) \|$", text, re.MULTILINE)
    return re.findall(r"[+][a-z|]+", words)


@pytest.mark.parametrize(
    ("mode", "announces"), [("durable", False), ("durable", True), ("live", False), ("live", True)]
)
async def test_the_documented_user_may_do_all_that_a_gateway_does_and_no_more(
    mode: str, announces: bool, own_valkey: Valkey, gateway: StartGateway, js: JsClients, mine: str
) -> None:
    name, *words = documented_user(mode)
    settings = {"CONSTELLATION_DELIVERY": mode}
    if announces:
        words += documented_for_presence(mode)
        settings["CONSTELLATION_PRESENCE_EVENTS"] = "redis"
    async with Redis.from_url(own_valkey.url) as redis:
        await redis.execute_command("ACL", "SETUSER", name, *words)
        url = own_valkey.url.replace("redis://", f"redis://{name}:change-me@")
        async with gateway(url, **settings) as pod:
            client = await js.connect(pod.chats_url, user=f"bob{mine}", auth=_asks(f"bob{mine}"))
            await client.join(f"c{mine}")
            async with nest_client(pod.tcp_port) as nest:
                await _use_everything(nest, redis, f"bob{mine}", f"c{mine}")
            expected = ["notice", "new-message", "new-message"]
            await eventually(
                lambda: len(client.received) == 3, PATIENCE_SECONDS, "all events have come"
            )
            assert sorted(event.event for event in client.received) == sorted(expected)
            client.sever()
            await client.until(lambda: client.connects == 2, "a return")
            assert client.recovered == [False, mode == "durable"]
            assert await pod.terminate() == 0
        log: list[dict[str, object]] = await redis.execute_command("ACL", "LOG")
        refused = [entry for entry in log if "client" not in str(_reason(entry))]
        assert refused == []


async def test_a_gateway_connects_over_tls_and_checks_the_certificate(
    tmp_path: Path, own_valkey: Valkey, gateway: StartGateway, js: JsClients, mine: str
) -> None:
    authority = Authority(tmp_path)
    async with tls_port(own_valkey.port, server_context(authority)) as (port, _):
        url = f"rediss://{HOST}:{port}/0?ssl_ca_certs={authority.cert_file}"
        async with gateway(url) as pod, Redis.from_url(own_valkey.url) as redis:
            client = await js.connect(pod.chats_url, user=f"bob{mine}")
            await Publisher(redis)("chat:new", {"userId": f"bob{mine}", "chatId": "c"})
            assert (await client.event("new-chat")).payload == {"chatId": "c"}
            assert await pod.terminate() == 0
        async with started_gateway(tmp_path / "stranger.log", f"rediss://{HOST}:{port}/0") as pod:
            await pod.listening()
            await eventually(
                lambda: "CERTIFICATE_VERIFY_FAILED" in "".join(pod.lines()),
                PATIENCE_SECONDS,
                "a certificate of an unknown authority is refused",
            )
            assert not await pod.is_ready()


async def _until_a_replica_is_known(port: int) -> None:
    async with Redis.from_url(f"redis://{HOST}:{port}") as sentinel:

        async def knows_the_replica() -> bool:
            try:
                found = await sentinel.execute_command("SENTINEL", "REPLICAS", "main")
            except RedisError:
                return False  # it has just been started
            return bool(found)

        await eventually(knows_the_replica, PATIENCE_SECONDS, "the Sentinel knows the replica")


async def test_a_sentinel_failover_is_followed(
    tmp_path: Path, gateway: StartGateway, js: JsClients, mine: str
) -> None:
    user = f"bob{mine}"
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
        await _until_a_replica_is_known(port)
        async with (
            gateway(f"redis+sentinel://{HOST}:{port},{HOST}:{port}/0/main") as pod,
            Redis.from_url(replica.url) as later,
        ):
            client = await js.connect(pod.chats_url, user=user, auth=_asks(user))
            async with Redis.from_url(primary.url) as redis:
                await Publisher(redis)("chat:new", {"userId": user, "chatId": "before"})
            assert (await client.event("new-chat")).payload == {"chatId": "before"}
            primary.kill()

            async def is_served() -> bool:
                event = {"userId": user, "chatId": "after"}
                try:
                    if (await later.execute_command("ROLE"))[0] in (b"master", "master"):
                        await Publisher(later)("chat:new", event)
                except RedisError:
                    return False  # a replica that is promoted hangs up
                return any(event.payload == {"chatId": "after"} for event in client.received)

            await eventually(is_served, PATIENCE_SECONDS, "events come through the new primary")


async def test_a_cluster_is_used_where_our_slot_is_and_a_failover_is_followed(
    tmp_path: Path, gateway: StartGateway, js: JsClients, mine: str
) -> None:
    user = f"bob{mine}"
    with redis_cluster(tmp_path) as cluster:
        await cluster.is_whole()
        url = f"redis+cluster://{HOST}:{cluster.elsewhere.port},{HOST}:{cluster.replica.port}"
        async with gateway(url) as a, gateway(url) as b:
            client = await js.connect(a.chats_url, user=user, auth=_asks(user))
            await client.join(f"c{mine}")
            async with nest_client(b.tcp_port) as nest, Redis.from_url(cluster.elsewhere.url) as r:
                await _use_everything(nest, r, user, f"c{mine}")
            expected = ["new-message", "new-message", "notice"]
            await eventually(
                lambda: len(client.received) == 3, PATIENCE_SECONDS, "all events have come"
            )
            assert sorted(event.event for event in client.received) == expected
            checked = await Terminal(tmp_path).run("check", redis=url)
            assert "FAILED" not in checked.out, checked.out
            assert re.search(r"^ok +cluster +permitted: CLUSTER SLOTS", checked.out, re.MULTILINE)
            assert re.search(r"^ok +meeting +permitted: SET GET", checked.out, re.MULTILINE)
            cluster.owner.kill()
            async with Redis.from_url(cluster.elsewhere.url) as redis:

                async def is_served() -> bool:
                    await Publisher(redis)("chat:new", {"userId": user, "chatId": "after"})
                    return any(event.payload == {"chatId": "after"} for event in client.received)

                await eventually(is_served, PATIENCE_SECONDS, "events come through the new primary")
            client.sever()
            await client.until(lambda: client.connects == 2, "a return")
            assert client.recovered == [False, True]


async def test_on_a_cluster_that_has_failed_over_disconnects_are_counted(
    tmp_path: Path, gateway: StartGateway, js: JsClients, mine: str
) -> None:
    """PUBLISH counts the subscribers of the node that it is sent to: after a failover, of none."""
    user = f"bob{mine}"
    with redis_cluster(tmp_path) as cluster:
        await cluster.is_whole()
        url = f"redis+cluster://{HOST}:{cluster.elsewhere.port},{HOST}:{cluster.replica.port}"
        async with gateway(url) as a, gateway(url) as b:
            clients = [await js.connect(a.chats_url, user=user) for _ in range(2)]
            clients.append(await js.connect(b.chats_url, user=user))
            async with Redis.from_url(cluster.replica.url) as replica:
                await replica.execute_command("CLUSTER", "FAILOVER")

                async def is_primary() -> bool:
                    return str((await replica.execute_command("ROLE"))[0]) in (
                        "b'master'",
                        "master",
                    )

                await eventually(is_primary, PATIENCE_SECONDS, "the replica is the primary")
            event = '{"userId": "nobody"}'
            published = await Terminal(tmp_path).run("publish", "chat:new", event, redis=url)
            assert (published.out, published.err) == ("chat:new: published\n", "")
            async with nest_client(b.tcp_port) as nest:

                async def is_online_everywhere() -> bool:
                    online = (await nest.ask("isUserOnline", {"userId": user}))["online"]
                    return online is True and await a.is_ready() and await b.is_ready()

                await eventually(is_online_everywhere, PATIENCE_SECONDS, "both serve again")
                answer = await nest.ask("disconnectUser", {"userId": user})
            assert answer == {"disconnected": 3}
            for client in clients:
                await client.until(lambda: not client.connected, "the disconnect")


async def _use_everything(nest: object, redis: Redis, user: str, chat: str) -> None:
    """Ask for each thing that makes a gateway use Redis."""
    ask = nest.ask  # type: ignore[attr-defined]  # a NestClient
    await ask("sendToUser", {"userId": user, "event": "notice", "data": 1})
    await ask("chat:newMessage", {"chatId": chat, "recipientId": "x", "messageId": 1})
    await Publisher(redis)("chat:newMessage", {"chatId": chat, "recipientId": "x"})
    await ask("joinRoom", {"userId": user, "roomName": "r"})
    await ask("leaveRoom", {"userId": user, "roomName": "r"})

    async def is_online() -> bool:
        return bool((await ask("isUserOnline", {"userId": user}))["online"])

    await eventually(is_online, PATIENCE_SECONDS, "presence is written")
    assert user in (await ask("getOnlineUsers", {}))["users"]
    assert await ask("isUserOnline", {"userId": "nobody"}) == {"userId": "nobody", "online": False}
    assert await ask("disconnectUser", {"userId": "nobody"}) == {"disconnected": 0}


def _asks(user: str) -> dict[str, object]:
    return {"userId": user, "recovery": True}


def _reason(entry: object) -> object:
    return entry.get("object") if isinstance(entry, dict) else entry
