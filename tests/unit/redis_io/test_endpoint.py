"""What a URL that does not fit says, one sentence for each fault, by real servers of each kind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis
from redis.asyncio import Redis

from constellation_ws.cli import check as inspection
from constellation_ws.cli import redis_connection
from constellation_ws.cli.findings import Verdict
from constellation_ws.redis_io.address import label
from constellation_ws.redis_io.endpoint import Endpoint
from constellation_ws.redis_io.link import make_client
from constellation_ws.redis_io.names import DEFAULT
from tests.certificates import Authority
from tests.processes import HOST, Valkey, unused_port
from tests.valkeys import LastingValkey, lasting_valkey, running_sentinel, server_context, tls_port
from tests.waiting import PATIENCE_SECONDS, eventually


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LastingValkey]:
    """A node of a Cluster without slots, that has a password."""
    folder = tmp_path_factory.mktemp("secret")
    with lasting_valkey(folder, cluster_enabled="yes") as valkey:
        with redis.Redis(port=valkey.port) as plain:
            plain.config_set("requirepass", "hunter2")
        yield valkey


async def refusal(url: str) -> str:
    """What a client of the URL raises, and so does the command line."""
    async with make_client(url, retries=0) as client:
        with pytest.raises((redis.RedisError, OSError)) as refused:
            await client.set("{constellation:events}:x", "1")
    text = str(refused.value)
    assert "hunter" not in text
    if "+" in url:
        with pytest.raises(redis_connection.RedisFailed) as told:
            await asyncio.to_thread(_connect, url)
        assert text in str(told.value)
    return text


def _connect(url: str) -> None:
    with redis_connection.connected(url, DEFAULT):
        pass


def _failed(url: str) -> dict[str, str]:
    """What `check` finds to be impossible, and why."""
    with redis_connection.made(url, DEFAULT) as plain:
        found = inspection.inspect(
            plain, label(url), {}, DEFAULT, (), keeps_log=True, announces=False
        )
        return {one.subject: one.detail for one in found if one.verdict is Verdict.FAILED}


def of(form: str, valkey: Valkey | LastingValkey, password: str = "") -> str:
    credentials = f":{password}@" if password else ""
    return f"{form}://{credentials}{HOST}:{valkey.port}"


async def test_a_cluster_where_nobody_is_names_each_node_and_why(secret: LastingValkey) -> None:
    nobody = unused_port()
    text = await refusal(f"{of('redis+cluster', secret, 'hunter2')},{HOST}:{nobody}")
    assert text.startswith(
        "no node of the Redis Cluster reports the owner of the gateway's hash slot"
    )
    assert f"{HOST}:{nobody}: Connect call failed" in text or "Connection refused" in text
    assert f"{HOST}:{secret.port}: it reports no owner of the gateway's hash slot" in text


@pytest.mark.parametrize(
    ("password", "says"),
    [
        ("", "it requires a password, and neither REDIS_URL nor a setting of its own has one"),
        ("hunter3", "it refuses the user name or the password"),
    ],
)
async def test_a_wrong_password_is_said(secret: LastingValkey, password: str, says: str) -> None:
    assert f"{HOST}:{secret.port}: {says}" in await refusal(of("redis+cluster", secret, password))


async def test_a_plain_redis_named_as_a_cluster_is_told_its_form(valkey: Valkey) -> None:
    text = await refusal(of("redis+cluster", valkey))
    assert (
        "it is not a node of a Redis Cluster; for a single Redis set REDIS_URL to redis://" in text
    )


async def test_a_plain_redis_named_as_a_sentinel_is_none(valkey: Valkey) -> None:
    assert "it is not a Sentinel" in await refusal(of("redis+sentinel", valkey) + "/0/main")


async def test_a_sentinel_that_watches_another_name_says_so(valkey: Valkey, tmp_path: Path) -> None:
    with running_sentinel(tmp_path / "s", valkey.port) as port:
        endpoint = Endpoint(f"redis+sentinel://{HOST}:{port}/0/main")

        async def is_found() -> bool:
            try:
                return await endpoint.locate() == (HOST, valkey.port)
            except redis.ConnectionError:
                return False  # it has just been started

        await eventually(is_found, PATIENCE_SECONDS, "the Sentinel answers")
        text = await refusal(f"redis+sentinel://{HOST}:{port}/0/chat")
        assert "no Sentinel reports the address of the primary chat" in text
        assert "it monitors no primary named chat" in text


async def test_a_node_of_a_cluster_named_as_a_plain_redis_is_told_its_form(
    tmp_path: Path,
) -> None:
    with (
        lasting_valkey(tmp_path / "a", cluster_enabled="yes") as a,
        lasting_valkey(tmp_path / "b", cluster_enabled="yes") as b,
    ):
        for node, last in ((a, 0), (b, 16_383)):
            async with Redis.from_url(node.url) as plain:
                await plain.execute_command("CLUSTER", "ADDSLOTSRANGE", min(last, 1), last)
                await plain.execute_command("CLUSTER", "MEET", HOST, a.port, a.bus_port)

        async def says() -> bool:
            text = await refusal(of("redis", a))
            return (
                f"{HOST}:{a.port}: it is one node of a Redis Cluster" in text
                and "set REDIS_URL to redis+cluster://host:port,host:port" in text
            )

        await eventually(says, PATIENCE_SECONDS, "the form is named, once the nodes have met")
        failed = await asyncio.to_thread(_failed, of("redis", a))
        assert {"log", "presence", "sessions"} <= failed.keys()
        assert all("set REDIS_URL to redis+cluster://" in detail for detail in failed.values())


@pytest.fixture
async def private(valkey: Valkey, tmp_path: Path) -> AsyncIterator[int]:
    async with tls_port(valkey.port, server_context(Authority(tmp_path))) as (port, _):
        yield port


@pytest.mark.parametrize("form", ["rediss+cluster://{}", "rediss+sentinel://{}/0/main"])
async def test_a_certificate_of_a_stranger_is_refused_and_said(form: str, private: int) -> None:
    text = await refusal(form.format(f"{HOST}:{private}"))
    assert "its certificate is refused: self-signed certificate in certificate chain" in text


@pytest.mark.parametrize("form", ["redis{}+cluster://{}", "redis{}+sentinel://{}/0/main"])
async def test_a_port_with_the_other_kind_of_security_is_said(
    form: str, private: int, valkey: Valkey
) -> None:
    assert "if its port uses TLS" in await refusal(form.format("", f"{HOST}:{private}"))
    assert "the port must use TLS" in await refusal(form.format("s", f"{HOST}:{valkey.port}"))


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ("rediss+cluster://{}?ssl_ca_certs={}", "not a node of a Redis Cluster"),
        ("rediss+sentinel://{}/0/main?ssl_ca_certs={}", "not a Sentinel"),
    ],
)
async def test_the_options_of_tls_count_for_each_form(
    form: str, says: str, private: int, tmp_path: Path
) -> None:
    """The Valkey behind it is of the wrong kind, which it can say over TLS only."""
    ca = tmp_path / "authority.crt"
    assert says in await refusal(form.format(f"{HOST}:{private}", ca))


@pytest.mark.parametrize(
    ("url", "key", "has"),
    [
        ("redis://one:6379", "orders", True),
        ("redis+sentinel://one:26379/0/chat", "orders", True),
        ("redis+cluster://one:6379,two:6379", "orders", False),
        ("redis+cluster://one:6379,two:6379", "constellation:events", True),
        ("redis+cluster://one:6379,two:6379", "orders:{constellation:events}", True),
    ],
)
def test_of_a_cluster_only_keys_of_our_slot_are_reached(url: str, key: str, has: bool) -> None:
    assert Endpoint(url).has_key(key) is has


def test_each_partition_of_the_log_has_an_endpoint_of_its_own() -> None:
    endpoint = Endpoint("redis+cluster://a:1")
    third = endpoint.of_partition(3)
    assert endpoint.of_partition(0) is endpoint
    assert endpoint.of_partition(3) is third
    assert third.has_key(DEFAULT.of_partition(3).log)
    assert not endpoint.has_key(DEFAULT.of_partition(3).log)
    assert not third.has_key(DEFAULT.pods)
