"""examples/migrate: one application on Node socket.io, behind the gateway, on both, and back."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.journey.conftest import StartGateway
from tests.js_clients import UPGRADING, WEBSOCKET, JsClient, JsClients
from tests.migration import EXAMPLE, PACKAGES, PAGE, Entry, entry, example_server, printed_steps
from tests.processes import HOST, REPOSITORY, running_valkey
from tests.tokens import SECRET, token_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

GATEWAY_KEY = "a key of the tests that is 32 characters long"
# As in a browser, which presents the cookie that keeps it on its server.
OPTIONS: dict[str, Any] = {
    "withCredentials": True,
    "reconnectionDelay": 50,
    "reconnectionDelayMax": 200,
}
BLOCK = re.compile(r"^```(js|toml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Room:
    """The clients that are in one room, and all that has been said there."""

    def __init__(self, entrance: Entry, js: JsClients) -> None:
        self.members: list[JsClient] = []
        self.said: list[dict[str, Any]] = []
        self._entrance = entrance
        self._js = js
        self._expected: dict[str, list[int]] = {}

    async def enter(self, user: str, transports: Sequence[str]) -> JsClient:
        """Connect a client as the application's page does, and join."""
        auth = {"token": token_of(user), "recovery": True}
        client = await self._js.connect(
            self._entrance.url, user=user, transports=transports, auth=auth, **OPTIONS
        )
        self._expected[client.name] = []
        await self.join(client)
        return client

    async def join(self, client: JsClient) -> None:
        ack = await client.ask("join-room", {"room": "r1"})
        assert ack == {"success": True, "data": {"room": "r1"}}
        self.members.append(client)

    async def leave(self, client: JsClient) -> None:
        ack = await client.ask("leave-room", {"room": "r1"})
        assert ack == {"success": True, "data": {"room": "r1"}}
        self.members.remove(client)

    async def reconnected(self, client: JsClient, connects: int) -> None:
        """Wait for the connect after so many, and do what the application's page does then."""
        await client.until(lambda: client.connects > connects, "it is back")
        if not client.recovered[-1]:
            self.members.remove(client)
            await self.join(client)

    async def say(self, client: JsClient) -> None:
        """Send a message, and see each member receive it."""
        message = {"room": "r1", "userId": client.user, "text": f"by {client.user}"}
        number = len(self.said) + 1
        ack = await client.ask("send-message", {"room": "r1", "text": message["text"]})
        assert ack == {"success": True, "data": {"number": number}}
        self.said.append(message)
        for member in self.members:
            self._expected[member.name].append(number)
            await received(member, "message", message | {"number": number})

    def check(self, client: JsClient) -> None:
        """It has received each message once, and none of a time when it was not in the room."""
        numbers = [message["number"] for message in events(client, "message")]
        assert numbers == self._expected[client.name]


def events(client: JsClient, name: str) -> list[Any]:
    return [one.payload for one in client.received if one.event == name]


async def received(client: JsClient, name: str, payload: object) -> None:
    await client.until(lambda: payload in events(client, name), f"{name} {payload}")


async def request(method: str, url: str, body: object = None) -> Any:
    """Call the application's own HTTP API; give its answer, if it has one."""
    async with aiohttp.request(method, url, json=body) as answer:
        assert answer.ok, await answer.text()
        return await answer.json() if answer.content_type == "application/json" else None


async def talk(room: Room, entrance: Entry, step: str) -> JsClient:
    """Do everything that the application can, with new clients; give one that has reconnected."""
    new = [await room.enter(f"{name}-{step}", UPGRADING) for name in ("carol", "dan", "eve")]
    carol, dan, eve = new
    eve_too = await room.enter(f"eve-{step}", WEBSOCKET)
    for member in list(room.members):
        await room.say(member)

    carol.emit("typing", {"room": "r1"})
    for member in room.members:
        if member is not carol:
            await received(member, "typing", {"room": "r1", "userId": carol.user})
    await room.leave(dan)
    refusal = await dan.ask("send-message", {"room": "r1", "text": "from outside"})
    assert refusal["error"]["code"] == "forbidden"
    await room.say(carol)

    connects = carol.connects
    carol.sever()
    await room.reconnected(carol, connects)
    await room.say(eve)

    for client in (*room.members, dan):
        user = client.user
        await request("POST", f"{entrance.url}/users/{user}/notices", {"step": step})
        await received(client, "notice", {"step": step})
        room.check(client)
    assert {"room": "r1", "userId": carol.user} not in events(carol, "typing")
    assert await request("GET", f"{entrance.url}/rooms/r1/messages") == room.said

    await request("DELETE", f"{entrance.url}/users/{eve.user}/connections")
    for client in (eve, eve_too):
        assert await client.lost() == "io server disconnect"
        room.members.remove(client)
    dan.close()
    return carol


async def move(room: Room, change: Awaitable[None]) -> None:
    """Let the entry lead elsewhere: the clients reconnect, and are in their room again."""
    connects = [(client, client.connects) for client in room.members]
    await change
    for client, times in connects:
        await room.reconnected(client, times)


def settings(folder: Path, api_port: int) -> dict[str, str]:
    """The gateway's, with the table of the example; only the address of its backend differs."""
    table = (EXAMPLE / "after" / "interface.toml").read_text("utf-8")
    assert "127.0.0.1:4000" in table
    own = folder / "interface.toml"
    own.write_text(table.replace("127.0.0.1:4000", f"{HOST}:{api_port}"), "utf-8")
    return {
        "CONSTELLATION_INTERFACE_FILE": str(own),
        "CONSTELLATION_AUTH_MODE": "jwt",
        "CONSTELLATION_JWT_SECRET": SECRET,
        "GATEWAY_KEY": GATEWAY_KEY,
    }


async def test_the_same_clients_use_the_application_before_beside_and_behind_the_gateway_and_back(
    gateway: StartGateway, js: JsClients, tmp_path: Path
) -> None:
    before, side_by_side, after, back = printed_steps()
    with running_valkey() as valkey:
        old = example_server(tmp_path, "before", REDIS_URL=valkey.url, JWT_SECRET=SECRET)
        new = example_server(tmp_path, "after", REDIS_URL=valkey.url, GATEWAY_KEY=GATEWAY_KEY)
        async with (
            old as old_port,
            new as api_port,
            gateway(valkey.url, **settings(tmp_path, api_port)) as pod,
            entry(tmp_path, {"3000": old_port, "7000": pod.ws_port, "4000": api_port}) as entrance,
        ):

            async def on_gateway() -> float:
                return await pod.metric("constellation_connections")

            room = Room(entrance, js)
            await entrance.carry_out(before)
            await room.enter("ann", WEBSOCKET)
            await room.enter("bob", UPGRADING)
            carol = await talk(room, entrance, "before")
            assert (await on_gateway(), carol.recovered[-1]) == (0, False)

            await move(room, entrance.carry_out(side_by_side))
            assert 0 < await on_gateway() < len(room.members)
            await talk(room, entrance, "beside")

            await move(room, entrance.carry_out(after))
            assert await on_gateway() == len(room.members)
            carol = await talk(room, entrance, "after")
            assert carol.recovered[-1] is True

            await move(room, entrance.carry_out(back))
            assert await pod.terminate() == 0
            await talk(room, entrance, "back")


async def test_the_page_prints_the_files_of_the_example() -> None:
    files = [
        path.read_text("utf-8")
        for path in EXAMPLE.rglob("*")
        if path.suffix in (".mjs", ".toml") and "node_modules" not in path.parts
    ]
    blocks = [block for _, block in BLOCK.findall(PAGE.read_text("utf-8"))]
    assert blocks
    assert [block for block in blocks if not any(block in file for file in files)] == []


async def test_the_page_starts_the_gateway_with_the_settings_that_are_tested(
    tmp_path: Path,
) -> None:
    (line,) = (
        one for one in PAGE.read_text("utf-8").splitlines() if "constellation-ws serve" in one
    )
    printed = set(re.findall(r"(CONSTELLATION_\w+)=", line))
    assert printed == settings(tmp_path, 1).keys() - {"GATEWAY_KEY"}


async def test_the_example_verifies_signatures_as_the_security_page_prints_it() -> None:
    printed = (REPOSITORY / "SECURITY.md").read_text("utf-8")
    assert (EXAMPLE / "after" / "signature.mjs").read_text("utf-8") in printed


@pytest.mark.parametrize("side", ["before", "after"])
async def test_the_packages_of_the_example_are_those_that_are_tested(side: str) -> None:
    own = json.loads((EXAMPLE / side / "package.json").read_text("utf-8"))["dependencies"]
    tested = json.loads((PACKAGES / "package.json").read_text("utf-8"))["dependencies"]
    assert own.items() <= tested.items()
