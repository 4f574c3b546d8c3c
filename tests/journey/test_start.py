"""A start that cannot succeed says why in one clear line per fault, and ends."""

import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.journey.conftest import StartGateway
from tests.journey.publishing import Publisher
from tests.js_clients import JsClients
from tests.processes import HOST, Valkey, ended_gateway

pytestmark = pytest.mark.asyncio(loop_scope="session")

LogPath = Callable[[], Path]

ROUTES = """
[[route]]
channel = "like:new"
event = "new-like"
keys = ["likeId", "from", "at"]
to = ["user:{likedUserId}", "chat:{chatIds}"]
except = "user:{from}"
"""


@pytest.mark.parametrize("variable", ["WS_PORT", "TCP_PORT"])
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


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("WS_PORT", "seven"),
        ("WS_PORT", "70000"),
        ("TCP_PORT", "-1"),
        ("REDIS_PORT", "6379x"),
        ("REDIS_DB", "zero"),
        ("CONSTELLATION_LOG_FORMAT", "xml"),
        ("CONSTELLATION_DRAIN_WINDOW_SECONDS", "soon"),
        ("CONSTELLATION_MAX_ID_CHARS", "0"),
        ("CONSTELLATION_ROUTES_FILE", "no-such-file.toml"),
    ],
)
async def test_a_setting_that_cannot_be_read_is_named_with_what_it_holds(
    variable: str, value: str, valkey: Valkey, log_path: LogPath
) -> None:
    ended = await ended_gateway(log_path(), valkey.url, **{variable: value})

    assert ended.code != 0
    _assert_one_clear_line(ended.lines, variable, value)


async def test_every_fault_has_a_line_and_no_secret_is_shown(log_path: LogPath) -> None:
    url = "redis//:hunter2@localhost"

    ended = await ended_gateway(log_path(), url, WS_PORT="seven", TCP_PORT="eight")

    assert ended.code != 0
    assert len(ended.lines) == 3
    for line, variable in zip(ended.lines, ("WS_PORT", "TCP_PORT", "REDIS_URL"), strict=True):
        assert variable in line
    assert "hunter2" not in "".join(ended.lines)


@pytest.mark.parametrize(
    ("routes", "says"),
    [
        ("[[route", "not TOML"),
        (ROUTES.replace("like:new", "chat:new"), "chat:new"),
        (ROUTES.replace('"user:{likedUserId}"', '"user:likedUserId"'), "user:likedUserId"),
        (ROUTES.replace('event = "new-like"', ""), "event"),
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


async def test_a_further_channel_is_added_by_configuration(
    valkey: Valkey,
    gateway: StartGateway,
    js: JsClients,
    publish: Publisher,
    tmp_path: Path,
    mine: str,
) -> None:
    file = tmp_path / "routes.toml"
    file.write_text(ROUTES)
    async with gateway(valkey.url, CONSTELLATION_ROUTES_FILE=file) as pod:
        bob = await js.connect(pod.chats_url, user=f"bob{mine}")
        carol = await js.connect(pod.chats_url, user=f"carol{mine}")
        await carol.join(f"c{mine}")
        like = {"likeId": 1, "from": f"alice{mine}", "likedUserId": f"bob{mine}", "secret": 1}

        await publish("like:new", like | {"at": 1})
        await publish("like:new", like | {"chatIds": [f"c{mine}"], "from": f"bob{mine}"})

        to_bob, to_carol = await publish.heard_by(bob, carol)
        assert [(event.event, event.payload) for event in to_bob] == [
            ("new-like", {"likeId": 1, "from": f"alice{mine}", "at": 1})
        ]
        assert [(event.event, event.payload) for event in to_carol] == [
            ("new-like", {"likeId": 1, "from": f"bob{mine}"})
        ]


def _assert_one_clear_line(lines: tuple[str, ...], *parts: str) -> None:
    assert len(lines) == 1, "\n".join(lines)
    for part in parts:
        assert part in lines[0]
