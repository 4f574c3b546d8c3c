"""A start that cannot succeed says why in one clear line per fault, and ends."""

import json
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.certificates import Authority
from tests.journey.conftest import StartGateway
from tests.journey.publishing import Publisher
from tests.js_clients import JsClients
from tests.processes import HOST, Valkey, ended_gateway, running_valkey, unused_port

pytestmark = pytest.mark.asyncio(loop_scope="session")

LogPath = Callable[[], Path]

SECRET = "hunter2"
UNREADABLE = {
    "WS_PORT": "seven",
    "TCP_PORT": "-1",
    "REDIS_PORT": "70000",
    "REDIS_DB": "zero",
    "CONSTELLATION_LOG_FORMAT": "xml",
    "CONSTELLATION_DRAIN_WINDOW_SECONDS": "soon",
    "CONSTELLATION_MAX_ID_CHARS": "0",
    "CONSTELLATION_ROUTES_FILE": "no-such-file.toml",
}
ROUTES = """
[[route]]
channel = "like:new"
event = "new-like"
keys = ["likeId", "from", "at"]
to = ["user:{likedUserId}", "chat:{chatIds}"]
except = "user:{from}"
"""


@pytest.mark.parametrize("variable", ["WS_PORT", "TCP_PORT", "CONSTELLATION_METRICS_PORT"])
async def test_a_taken_port_is_named_in_one_line(
    variable: str, valkey: Valkey, log_path: LogPath
) -> None:
    with closing(socket.create_server((HOST, 0))) as taken:
        port = taken.getsockname()[1]

        ended = await ended_gateway(
            log_path(), valkey.url, **{variable: port, "CONSTELLATION_WS_HOST": HOST}
        )

    assert ended.code != 0
    _assert_one_clear_line(ended.lines, variable, str(port))


async def test_two_doors_on_one_port_are_named_in_one_line(
    valkey: Valkey, log_path: LogPath
) -> None:
    port = unused_port()

    ended = await ended_gateway(log_path(), valkey.url, WS_PORT=port, TCP_PORT=port)

    assert ended.code == 2
    _assert_one_clear_line(ended.lines, "WS_PORT", "TCP_PORT", str(port))


async def test_an_expired_certificate_is_logged_and_the_rest_works(
    valkey: Valkey, gateway: StartGateway, tmp_path: Path
) -> None:
    cert, key = Authority(tmp_path, days=(-3, -1)).issue("server")
    tls = {"CONSTELLATION_TCP_TLS_CERT_FILE": cert, "CONSTELLATION_TCP_TLS_KEY_FILE": key}

    async with gateway(valkey.url, **tls) as pod:
        (line,) = pod.log("invalid certificate")

    assert line["level"] == "error"
    assert line["reason"].startswith("CONSTELLATION_TCP_TLS_CERT_FILE names ")
    assert "has expired" in line["reason"]


async def test_every_setting_that_cannot_be_read_has_a_line_that_says_what_it_holds(
    log_path: LogPath,
) -> None:
    ended = await ended_gateway(log_path(), f"redis//:{SECRET}@localhost", **UNREADABLE)

    assert ended.code != 0
    # As JSON, like all lines of a log that is not on a terminal.
    faults = [json.loads(line) for line in ended.lines]
    assert {fault["level"] for fault in faults} == {"critical"}
    says = [fault["event"] for fault in faults]
    assert len(says) == len(UNREADABLE) + 1, "\n".join(says)
    for variable, value in UNREADABLE.items():
        (line,) = [line for line in says if line.startswith(variable)]
        assert value in line
    (line,) = [line for line in says if line.startswith("REDIS_URL")]
    assert "redis://" in line, "what it takes is said"
    assert SECRET not in "".join(ended.lines), "what it holds is not"


@pytest.mark.parametrize(
    ("routes", "says"),
    [
        (ROUTES.replace("like:new", "chat:new"), "chat:new"),
        (ROUTES.replace("except", "exept"), "exept"),
    ],
)
async def test_a_route_table_that_cannot_be_used_stops_the_start(
    routes: str, says: str, valkey: Valkey, log_path: LogPath, tmp_path: Path
) -> None:
    file = tmp_path / "routes.toml"
    file.write_text(routes)

    ended = await ended_gateway(log_path(), valkey.url, CONSTELLATION_ROUTES_FILE=file)

    assert ended.code != 0
    _assert_one_clear_line(ended.lines, says)


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("CONSTELLATION_ROUTES_FILE", ROUTES),
        ("CONSTELLATION_INTERFACE_FILE", f'extends = "default"\n{ROUTES}'),
    ],
)
async def test_a_further_channel_is_added_by_configuration(
    variable: str, text: str, gateway: StartGateway, js: JsClients, tmp_path: Path
) -> None:
    """On a Redis of its own: all pods of a cluster have the same table."""
    file = tmp_path / "table.toml"
    file.write_text(text)
    with running_valkey() as valkey:
        async with (
            gateway(valkey.url, **{variable: file}) as pod,
            Redis.from_url(valkey.url) as redis,
        ):
            publish = Publisher(redis)
            bob = await js.connect(pod.chats_url, user="bob")
            carol = await js.connect(pod.chats_url, user="carol")
            await carol.join("c")
            like = {"likeId": 1, "likedUserId": "bob", "secret": 1}

            await publish("like:new", like | {"from": "alice", "at": 1})
            await publish("like:new", like | {"from": "bob", "chatIds": ["c"]})

            to_bob, to_carol = await publish.heard_by(bob, carol)
            assert [(event.event, event.payload) for event in to_bob] == [
                ("new-like", {"likeId": 1, "from": "alice", "at": 1})
            ]
            assert [(event.event, event.payload) for event in to_carol] == [
                ("new-like", {"likeId": 1, "from": "bob"})
            ]


def _assert_one_clear_line(lines: tuple[str, ...], *parts: str) -> None:
    assert len(lines) == 1, "\n".join(lines)
    assert json.loads(lines[0])["level"] in ("error", "critical")
    for part in parts:
        assert part in lines[0]
