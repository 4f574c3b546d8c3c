"""`demo` and `dev` with real processes: what they show, and that everything they start ends."""

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import socketio

from tests.command_lines import Terminal
from tests.processes import HOST, Valkey, unused_port
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path)
    yield terminal
    terminal.close()


def ports() -> dict[str, Any]:
    return {name: unused_port() for name in ("WS_PORT", "TCP_PORT", "REDIS_PORT")}


def is_listening(port: int) -> bool:
    with socket.socket() as probe, suppress(OSError):
        probe.connect((HOST, port))
        return True
    return False


async def test_the_demo_shows_deliveries_and_others_can_join(terminal: Terminal) -> None:
    own = ports()
    demo = terminal.start("demo", redis="", **own)
    redis = (await demo.says(r"REDIS_URL=(redis://\S+) ")).group(1)
    await demo.says(r"alice +new-message +alice: Hello Bob, this is message 1 +\d+\.\d$")
    await demo.says(r"bob +new-message +alice: Hello Bob, this is message 1 +\d+\.\d$")
    url = f"http://{HOST}:{own['WS_PORT']}"
    bob = terminal.start("listen", "--user", "bob", "--url", url, "--count", "1", "--json")
    await bob.says("connected as bob")

    event = {"userId": "alice", "status": "here", "notifyUsers": ["bob"]}
    await terminal.run("publish", "user:status", json.dumps(event), redis=redis)

    await demo.says(r"bob +user-status +alice is here$")
    emitter = socketio.AsyncRedisManager(redis, write_only=True)
    await emitter.emit("file", ("a", b"\x00"), room="user:bob", namespace="/chats")
    await emitter.redis.aclose()
    await demo.says(r'bob +file +"a" \{"base64": "AA=="\}$')
    assert json.loads((await bob.ended()).out)["event"] in ("user-status", "new-message")
    done = await demo.interrupted()
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith("\nStopping\n")
    assert demo.group_is_gone()
    valkey_port = int(redis.rpartition(":")[2].partition("/")[0])
    assert not any(map(is_listening, (*own.values(), valkey_port)))


async def test_the_demo_takes_the_redis_that_is_named(terminal: Terminal, valkey: Valkey) -> None:
    demo = terminal.start("demo", redis=valkey.url, **ports())
    await demo.says(r"user-typing +bob is typing")

    done = await demo.interrupted()

    assert (done.code, done.err) == (0, "")
    assert "REDIS_URL" not in done.out


async def test_the_demo_can_be_interrupted_while_it_starts(terminal: Terminal) -> None:
    demo = terminal.start("demo", redis="", **ports())
    await demo.says("starting")

    done = await demo.interrupted()

    assert done.code in (0, 130)
    assert "Traceback" not in done.out + done.err
    assert demo.group_is_gone()


@pytest.mark.parametrize(
    ("command", "number"),
    [("demo", signal.SIGTERM), ("dev", signal.SIGTERM), ("dev", signal.SIGHUP)],
)
async def test_a_signal_to_the_whole_group_ends_the_gateway_before_its_redis(
    command: str, number: signal.Signals, terminal: Terminal
) -> None:
    running = terminal.start(command, redis="", CONSTELLATION_LOG_LEVEL="warning", **ports())
    await running.says("From another terminal")

    done = await running.interrupted(number)

    assert done.code == 0
    assert "[warning" not in done.out + done.err, "a Redis that is gone makes the gateway complain"
    assert running.group_is_gone()


async def test_under_nohup_the_end_of_the_terminal_ends_nothing(terminal: Terminal) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # which the command inherits
    try:
        demo = terminal.start("demo", redis="", **ports())
    finally:
        signal.signal(signal.SIGHUP, before)
    await demo.says("starting")
    demo.send(signal.SIGHUP)
    await demo.says("From another terminal")
    demo.send(signal.SIGHUP)
    await demo.says(r"user-typing +bob is typing")

    assert (await demo.interrupted()).code == 0


async def test_a_terminated_start_leaves_no_redis_behind(terminal: Terminal) -> None:
    own = ports()
    demo = terminal.start("demo", redis="", **own)
    await eventually(lambda: is_listening(own["REDIS_PORT"]), 30, "the Valkey has started")

    done = await demo.interrupted(signal.SIGTERM)

    assert done.code in (0, 143)
    assert "Traceback" not in done.out + done.err
    assert demo.group_is_gone()


@pytest.mark.parametrize("command", ["demo", "dev"])
async def test_a_port_that_was_asked_for_and_is_taken_is_told(
    command: str, terminal: Terminal
) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        done = await terminal.run(command, redis="", **(ports() | {"WS_PORT": port}))

    assert done.code == 1
    (line,) = done.err.splitlines()
    assert f"{HOST}:{port}" in line


@pytest.mark.parametrize("command", ["demo", "dev"])
async def test_a_gateway_that_cannot_start_says_why_and_the_command_fails(
    command: str, terminal: Terminal, tmp_path: Path
) -> None:
    routes = tmp_path / "further.toml"
    routes.write_text("[[route")

    done = await terminal.run(command, redis="", CONSTELLATION_ROUTES_FILE=routes, **ports())

    assert done.code == 1
    (line,) = done.err.splitlines()
    assert "further.toml is not TOML" in line


async def test_dev_starts_again_when_a_source_changes(terminal: Terminal, tmp_path: Path) -> None:
    routes = tmp_path / "further.toml"
    routes.write_text("")
    dev = terminal.start("dev", redis="", CONSTELLATION_ROUTES_FILE=routes, **ports())
    await dev.says("The gateway is ready")
    await dev.says("listening")

    routes.write_text("[[route")
    await dev.says("further.toml changed: restarting")
    await dev.says("it restarts at the next change")
    routes.write_text("")
    await dev.says("listening", times=2)

    done = await dev.interrupted()
    assert done.code == 0
    assert "not TOML" in done.err
    assert "Traceback" not in done.err
    assert dev.group_is_gone()
