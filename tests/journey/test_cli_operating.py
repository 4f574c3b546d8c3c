"""The commands that look into a deployment and act on it, against real pods.

They run in this process, in a thread, as each import of everything would take a second.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from unittest.mock import patch

import pytest

from constellation_ws.cli import bench as benching
from constellation_ws.cli.bench import Bench, NobodyConnected, Plan
from constellation_ws.cli.bench_report import Report
from constellation_ws.cli.doctor.draining import check_drain
from constellation_ws.cli.doctor.target import connected, read_target
from constellation_ws.cli.findings import Verdict
from constellation_ws.cli.lean_client import LeanClient, Lost
from constellation_ws.cli.main import run
from constellation_ws.cli.redis_connection import RedisFailed, made
from constellation_ws.cli.redis_connection import connected as redis_connected
from constellation_ws.redis_io.names import DEFAULT
from tests.command_lines import Done
from tests.ingress.proxies.connections import Connections
from tests.journey.conftest import Pods, StartGateway
from tests.journey.test_cli import acl_user, documented_privileges
from tests.processes import HOST, Gateway, Valkey, gateway_environment, unused_port
from tests.waiting import PATIENCE_SECONDS, eventually

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.long]

Carry = Callable[..., Awaitable[Done]]


@pytest.fixture
def carry(valkey: Valkey, capsys: pytest.CaptureFixture[str]) -> Carry:
    """Carry out a command line with the settings of a pod."""

    async def carry(*arguments: str, **settings: str) -> Done:
        with patch.dict(os.environ, gateway_environment(valkey.url, **settings), clear=True):
            code = await asyncio.to_thread(run, list(arguments))
        shown = capsys.readouterr()
        return Done(code, shown.out, shown.err)

    return carry


@asynccontextmanager
async def client(url: str, user: str) -> AsyncIterator[LeanClient]:
    target = read_target(url, "/socket.io/", "/chats", user)
    async with connected(target) as http, http.websocket() as websocket:
        one = LeanClient(websocket, "/chats")
        await one.open()
        await one.connect(target.auth)
        yield one


async def until_lost(socket: LeanClient) -> None:
    while True:
        await socket.next()


async def test_an_operator_finds_a_user_sends_an_event_and_disconnects(
    carry: Carry, pods: Pods, mine: str
) -> None:
    bob = f"bob{mine}"
    async with client(pods.a.http_url, bob) as socket:

        async def is_online() -> bool:
            return (await carry("who", bob)).code == 0

        await eventually(is_online, PATIENCE_SECONDS, "bob is online")
        listed = await carry("users", "--json")
        assert bob in [json.loads(line)["user"] for line in listed.out.splitlines()]

        await socket.send(f'42/chats,1["join-chat",{{"chatId":"c{mine}"}}]')
        while not (await socket.packet()).startswith("43/chats,1["):
            pass
        looked_up = await carry("who", bob, "--sessions", "--json")
        (session,) = json.loads(looked_up.out)["sessions"]
        assert session["rooms"] == [f"chat:c{mine}"]

        sent = await carry("send", bob, "hi", '{"id": 9007199254740993}', "--strict", "--json")
        assert (sent.code, json.loads(sent.out)["online"]) == (0, True)
        event = await socket.next()
        assert (event.name, event.arguments[0]) == ("hi", {"id": 9007199254740993})

        passed = await carry("tail", "--user", bob, "--since", "60", "--count", "1", "--json")
        shown = json.loads(passed.out)
        assert (shown["event"], shown["rooms"]) == ("hi", [f"user:{bob}"])
        assert shown["id"] == json.loads(sent.out)["id"]

        room = await carry("send", "--room", f"user:{bob}", "hi", "2", "--strict")
        assert room.code == 0, room
        kicked = await carry("kick", bob, "--reason", "test")
        assert (kicked.code, kicked.out) == (0, f"{bob}: 1 sockets disconnected\n")
        with pytest.raises(Lost):
            await until_lost(socket)
    assert (await carry("kick", bob, "--json")).code == 1


async def test_what_nobody_gets_is_said(carry: Carry, pods: Pods, mine: str) -> None:
    nobody = f"nobody{mine}"
    assert (await carry("who", nobody)).code == 1
    for options, code in (((), 0), (("--strict",), 1)):
        done = await carry("send", nobody, "hi", "1", *options)
        assert (done.code, done.err) == (code, f"warning: {nobody} is not online\n")
        done = await carry("send", "--room", f"chat:{nobody}", "hi", "1", *options)
        assert (done.code, done.err) == (code, f"warning: nobody is in chat:{nobody} now\n")
    refused = await carry("send", nobody, "hi", "{")
    assert (refused.code, len(refused.err.splitlines())) == (2, 1)


async def test_the_status_of_a_deployment_that_works_is_ok(carry: Carry, pods: Pods) -> None:
    async def is_well() -> bool:
        return (await carry("status")).code == 0

    await eventually(is_well, PATIENCE_SECONDS, "a pod records")
    facts = json.loads((await carry("status", "--json")).out)
    assert facts["problems"] == []
    assert facts["log"]["recorder"] in [pod["instance"] for pod in facts["pods"]]


async def test_too_few_events_fail_a_tail(carry: Carry, pods: Pods, mine: str) -> None:
    done = await carry("tail", "--user", mine, "--count", "2", "--timeout", "0.1")
    assert (done.code, done.err) == (1, "0 of 2 events passed within 0.1 s.\n")


async def test_a_tail_of_a_channel_that_no_route_has_says_so(carry: Carry, pods: Pods) -> None:
    done = await carry("tail", "--channel", "chat:newMesage", "--timeout", "0.1", "--json")
    assert (done.code, done.out) == (0, "")
    assert done.err.startswith("warning: no route has a channel 'chat:newMesage'; did you mean ")
    assert (await carry("tail", "--channel", "chat:*", "--timeout", "0.1")).err == ""


async def test_the_user_of_a_gateway_may_do_all_of_it(
    carry: Carry, pods: Pods, valkey: Valkey, mine: str
) -> None:
    nobody = f"nobody{mine}"
    async with acl_user(valkey, f"least{mine}", documented_privileges()) as url:
        for command in (
            ("users",),
            ("who", nobody),
            ("send", nobody, "hi", "1"),
            ("send", "--room", f"chat:{nobody}", "hi", "1"),
            ("kick", nobody),
            ("tail", "--timeout", "0.1"),
            ("status",),
        ):
            done = await carry(*command, REDIS_URL=url)
            assert "permi" not in done.err.lower(), done


# --- bench ---------------------------------------------------------------------------------------


async def benched(valkey: Valkey, url: str, mine: str, plan: Plan) -> Report:
    target = read_target(url, "/socket.io/", "/chats", f"bench{mine}")

    def auth_of(user: str) -> Mapping[str, object]:
        return {"userId": user, "recovery": True}

    with redis_connected(valkey.url, DEFAULT) as redis:
        return await Bench(target, plan, redis, auth_of, lambda text: None).run()


async def test_a_bench_counts_every_event_once(pods: Pods, valkey: Valkey, mine: str) -> None:
    proxy = Connections()
    await proxy.route_to([pods.a.ws_port, pods.b.ws_port])
    try:
        report = await benched(valkey, f"http://{HOST}:{proxy.port}", mine, Plan(6, 100, 0.3))
    finally:
        proxy.stop()
    assert not report.has_failed, report
    assert (report.clients, report.pods) == (6, 2)
    assert 0 < report.published == report.received == len(report.latencies)
    assert report.memory_bytes is None, "there are two pods"


async def test_a_roll_out_is_judged_by_its_clients(
    valkey: Valkey, gateway: StartGateway, pods: Pods, mine: str
) -> None:
    """Both `bench` and `doctor --drain` do so, here of the same roll-out."""
    proxy, new = Connections(), pods.a
    url = f"http://{HOST}:{proxy.port}"

    async def roll(old: Gateway) -> None:
        def has_all() -> Awaitable[float]:
            return old.metric("constellation_deliveries_total")

        await eventually(has_all, PATIENCE_SECONDS, "events flow")
        await proxy.route_to([new.ws_port])
        assert await old.terminate() == 0

    async with gateway(valkey.url) as old:
        await proxy.route_to([old.ws_port])
        try:
            watching = read_target(url, "/socket.io/", "/chats", f"doctor{mine}")
            async with connected(watching) as http:
                report, finding, _ = await asyncio.gather(
                    benched(valkey, url, mine, Plan(4, 50, 4)),
                    check_drain(http, PATIENCE_SECONDS),
                    roll(old),
                )
        finally:
            proxy.stop()

    assert (report.lost, report.doubled, report.refused) == (0, 0, 0)
    assert (report.reconnects, report.recovered) == (4, 4)
    assert finding.verdict is Verdict.OK, finding
    assert "8 clients were closed and back in" in finding.detail


async def test_a_bench_of_nobody_says_why(pods: Pods, valkey: Valkey, mine: str) -> None:
    target = read_target(pods.a.http_url, "/socket.io/", "/chats", mine)
    with redis_connected(valkey.url, DEFAULT) as redis:
        bench = Bench(target, Plan(2, 1, 1), redis, lambda user: {}, lambda text: None)
        with pytest.raises(NobodyConnected, match="unauthorized"):
            await bench.run()


async def test_a_bench_of_a_wrong_address_says_so(
    valkey: Valkey, mine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benching, "_FIRST_SECONDS", 0.1)
    target = read_target(f"http://{HOST}:{unused_port()}", "/socket.io/", "/chats", mine)
    with redis_connected(valkey.url, DEFAULT) as redis:
        bench = Bench(target, Plan(2, 1, 1), redis, lambda _: {"userId": mine}, lambda _: None)
        with pytest.raises(NobodyConnected, match=r"to http://.*: connection refused\."):
            await bench.run()


async def test_a_bench_without_its_redis_says_so(pods: Pods, mine: str) -> None:
    target = read_target(pods.a.http_url, "/socket.io/", "/chats", mine)
    with made(f"redis://{HOST}:{unused_port()}/0", DEFAULT) as redis:
        bench = Bench(target, Plan(1, 1, 1), redis, lambda user: {"userId": user}, lambda _: None)
        with pytest.raises(RedisFailed, match="did not accept the events: Connection refused"):
            await bench.run()
