"""The clients that README and docs print, run exactly as they are printed.

Only the address differs: tests/js/printed.mjs, which they import as `socket.io-client`, sets it.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.chat_api import HttpChatApi, http_chat_api
from tests.forwarder import Forwarder, forwarder
from tests.journey.conftest import WITH_TOKENS, StartGateway
from tests.journey.publishing import Publisher
from tests.processes import (
    REPOSITORY,
    Gateway,
    Valkey,
    node_executable,
    unused_port,
)
from tests.tokens import token_of
from tests.waiting import PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

BLOCK = re.compile(r"^```js\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OPENING = re.compile(r"\bio\(.*?\)\n(?=\S|\n|$)", re.DOTALL)
PAGES = [REPOSITORY / "README.md", *(REPOSITORY / "docs").rglob("*.md")]
# The shortest window there is, and heartbeats that fit into it.
SHORT = {
    "CONSTELLATION_PING_INTERVAL_SECONDS": 1,
    "CONSTELLATION_PING_TIMEOUT_SECONDS": 1,
    "CONSTELLATION_RECOVERY_WINDOW_SECONDS": 5,
}
# A token for each connect, but none at the second time of asking.
FETCH_TOKEN = """
let fetches = 0
const fetchToken = async () => {
  if (++fetches === 2) throw new Error('the issuer is away')
  return process.env.TOKEN
}
"""


def blocks(page: Path) -> list[str]:
    """The JavaScript of a page."""
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def readme_client() -> str:
    """The block that makes a client, whole."""
    (block,) = (one for one in blocks(REPOSITORY / "README.md") if "socket.io-client" in one)
    return block


def client_with_tokens() -> str:
    """The same, with the lines that docs/trust.md prints in place of the README's."""
    (replacement,) = (one for one in blocks(REPOSITORY / "docs" / "trust.md") if " io(" in one)
    head, _, rest = re.split(r"^(const socket = .*\n)", readme_client(), flags=re.MULTILINE)
    return f"{head}{FETCH_TOKEN}{replacement}{rest}"


class Program:
    """A printed program while it runs: what it printed, and what became of its socket."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.printed = ""
        self.warned: list[str] = []
        self.recovered: list[bool] = []
        """What `socket.recovered` said at each connect."""
        self.disconnects: list[str] = []
        self._process = process

    async def follow(self) -> None:
        """Take what it writes until it ends."""
        await asyncio.gather(self._follow_stdout(), self._follow_stderr())

    async def connected(self, times: int) -> None:
        """Wait for the nth connect."""
        await self.until(lambda: len(self.recovered) >= times, f"connect {times}")

    async def printed_once(self, text: str) -> None:
        """Wait until a text has been printed; twice is an error."""
        await self.until(lambda: text in self.printed, f"{text} is printed")
        assert self.printed.count(text) == 1

    async def until(self, condition: Any, what: str) -> None:
        """Wait for something to be true of the program, which must go on running."""

        def is_true() -> bool:
            assert self._process.returncode is None, f"it has ended: {self!r}"
            return bool(condition())

        try:
            await eventually(is_true, 2 * PATIENCE_SECONDS, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self!r}") from None

    def __repr__(self) -> str:
        return (
            f"printed: {self.printed}\nwarned: {self.warned}\n"
            f"recovered: {self.recovered}, disconnects: {self.disconnects}"
        )

    async def _follow_stdout(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self.printed += line.decode()

    async def _follow_stderr(self) -> None:
        assert self._process.stderr is not None
        while line := (await self._process.stderr.readline()).decode():
            match json.loads(line) if line.startswith("{") else None:
                case {"kind": "connect", "recovered": recovered}:
                    self.recovered.append(recovered)
                case {"kind": "disconnect", "reason": reason}:
                    self.disconnects.append(reason)
                case _:
                    self.warned.append(line)


@asynccontextmanager
async def running(block: str, folder: Path, port: int) -> AsyncIterator[Program]:
    """Run a printed block in a folder of its own, against a gateway on a port of this machine."""
    package = folder / "node_modules" / "socket.io-client"
    package.mkdir(parents=True)
    package.joinpath("package.json").write_text('{"type": "module", "exports": "./index.mjs"}')
    real = (REPOSITORY / "tests" / "js" / "printed.mjs").as_uri()
    package.joinpath("index.mjs").write_text(f"export * from {json.dumps(real)}\n")
    script = folder / "printed.mjs"
    script.write_text(block, encoding="utf-8")
    environment = {"GATEWAY_URL": f"http://127.0.0.1:{port}", "TOKEN": token_of("u1")}
    process = await asyncio.create_subprocess_exec(
        *(node_executable(), str(script)), env=os.environ | environment, stdout=PIPE, stderr=PIPE
    )
    program = Program(process)
    following = asyncio.create_task(program.follow())
    try:
        yield program
    finally:
        if process.returncode is None:
            process.kill()
        await following
        await process.wait()


async def joins(pod: Gateway) -> float:
    """How many joins the gateway has confirmed."""
    return await pod.metric("constellation_client_requests_total", event="join-chat", outcome="ok")


async def sessions(redis: Redis) -> list[bytes]:
    return [key async for key in redis.scan_iter(match="*:session:*")]


async def say(publish: Publisher, text: str) -> None:
    """Write into the chat: to whoever is in its room, and to no user."""
    await publish("chat:newMessage", {"chatId": "c-1", "recipientId": "-", "text": text})


async def cut_off(program: Program, wire: Forwarder) -> None:
    """Cut the network and wait until the client has noticed."""
    times = len(program.disconnects) + 1
    wire.cut()
    await program.until(lambda: len(program.disconnects) >= times, "the client noticed")


@pytest.mark.parametrize(
    "block", ["README.md", pytest.param("docs/trust.md", marks=pytest.mark.long)]
)
async def test_a_printed_client_survives_network_cuts(
    block: str, own_valkey: Valkey, gateway: StartGateway, tmp_path: Path
) -> None:
    with_tokens = block == "docs/trust.md"
    settings = {**SHORT, **(WITH_TOKENS if with_tokens else {})}
    code = client_with_tokens() if with_tokens else readme_client()
    async with (
        gateway(own_valkey.url, **settings) as pod,
        forwarder(pod.ws_port) as wire,
        Redis.from_url(own_valkey.url) as redis,
        running(code, tmp_path, wire.port) as program,
    ):
        publish = Publisher(redis)
        await eventually(lambda: joined_times(pod, 1), PATIENCE_SECONDS, "the chat is joined")
        await say(publish, "before")
        await program.printed_once("before")

        # Shorter than the window: resumed, with what was said meanwhile.
        await cut_off(program, wire)
        await say(publish, "during")
        wire.mend()
        await program.connected(2)
        await program.printed_once("during")
        await say(publish, "after")
        await program.printed_once("after")

        # Longer than the window: a new session, which is in the chat again.
        await cut_off(program, wire)
        await eventually(
            lambda: has_no_sessions(redis), PATIENCE_SECONDS, "the session has expired"
        )
        wire.mend()
        await program.connected(3)
        await eventually(lambda: joined_times(pod, 2), PATIENCE_SECONDS, "it is joined again")
        await say(publish, "at last")
        await program.printed_once("at last")

        assert program.recovered == [False, True, False]
        assert (program.printed.count("before"), program.printed.count("during")) == (1, 1)


async def test_the_printed_client_repeats_a_join_that_was_refused_for_now(
    own_valkey: Valkey, gateway: StartGateway, tmp_path: Path
) -> None:
    port = unused_port()
    async with (
        gateway(own_valkey.url, **HttpChatApi(port).settings) as pod,
        Redis.from_url(own_valkey.url) as redis,
        running(readme_client(), tmp_path, pod.ws_port) as program,
    ):
        await program.until(
            lambda: any("access_unavailable" in line for line in program.warned), "a refusal"
        )
        async with http_chat_api(port) as api:
            await api.set_chats(**{"c-1": ["u1"]})
            await eventually(lambda: joined_times(pod, 1), PATIENCE_SECONDS, "it is joined")
            await say(Publisher(redis), "hello")
            await program.printed_once("hello")


async def test_the_printed_client_repeats_a_join_that_was_not_answered_before_a_cut(
    own_valkey: Valkey, gateway: StartGateway, tmp_path: Path
) -> None:
    async with http_chat_api(unused_port()) as api:
        api.hold_all()
        settings = {**SHORT, **api.settings, "CONSTELLATION_CHAT_ACCESS_TIMEOUT_SECONDS": 60}
        async with (
            gateway(own_valkey.url, **settings) as pod,
            forwarder(pod.ws_port) as wire,
            Redis.from_url(own_valkey.url) as redis,
            running(readme_client(), tmp_path, wire.port) as program,
        ):
            await program.until(lambda: api.asked, "a join is under way")
            await cut_off(program, wire)
            wire.mend()
            await program.connected(2)
            api.may_answer.set()
            await eventually(lambda: joined_times(pod, 1), PATIENCE_SECONDS, "it is joined")
            await say(Publisher(redis), "hello")
            await program.printed_once("hello")

            # It has its old session, so nothing but the missing answer makes it ask again.
            assert program.recovered == [False, True]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
async def test_no_page_prints_a_client_that_does_not_ask_for_recovery(page: Path) -> None:
    for block in blocks(page):
        for opening in OPENING.findall(block):
            assert "recovery: true" in opening, f"{page.name}: {opening}"
        # It rejects when the connection is lost, and nothing of ours catches that.
        assert "emitWithAck" not in block


async def joined_times(pod: Gateway, times: int) -> bool:
    return await joins(pod) >= times


async def has_no_sessions(redis: Redis) -> bool:
    return await sessions(redis) == []
