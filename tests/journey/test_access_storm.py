"""Many sessions that return at once, while the API that knows who is in a chat is slow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest

from constellation_ws.access.limit import FIRST_CALLS
from tests.chat_api import ChatApi, HttpChatApi, http_chat_api, nest_chat_api
from tests.journey.conftest import StartGateway
from tests.journey.raw_clients import Raw, raw
from tests.processes import Gateway, Valkey, running_valkey, unused_port

pytestmark = pytest.mark.asyncio(loop_scope="session")

SLOW_SECONDS = 0.3
"""What each answer of the API takes during a storm."""
PATIENT = {"CONSTELLATION_CHAT_ACCESS_TIMEOUT_SECONDS": 4}
"""Twice the default, since API, clients and pods share a machine; a storm takes longer by far."""
STORM_SECONDS = 120.0


@pytest.fixture(scope="module")
def own_valkey() -> Iterator[Valkey]:
    with running_valkey() as valkey:
        yield valkey


@dataclass(frozen=True)
class Crowd:
    """Users with a session each, and the chats that each of them is in."""

    chats: dict[str, list[str]]

    @classmethod
    def strangers(cls, users: int, chats_each: int, mine: str) -> Crowd:
        """Users who share no chat."""
        each = range(chats_each)
        return cls({f"u{n}{mine}": [f"c{n}-{chat}{mine}" for chat in each] for n in range(users)})

    @classmethod
    def neighbours(cls, users: int, chats_each: int, mine: str) -> Crowd:
        """Users of whom each shares every chat of its with others."""
        each, rooms = range(chats_each), 2 * chats_each
        return cls({f"u{n}{mine}": [f"c{(n + chat) % rooms}{mine}" for chat in each]
                    for n in range(users)})  # fmt: skip

    @property
    def members(self) -> dict[str, list[object]]:
        """Who is in each chat, as the API knows it."""
        found: dict[str, list[object]] = {}
        for user, chats in self.chats.items():
            for chat in chats:
                found.setdefault(chat, []).append(user)
        return found

    async def join(self, pod: Gateway, stack: AsyncExitStack) -> dict[str, str]:
        """Connect them and join all chats; give each user's pid."""
        clients = dict(zip(self.chats, await self._connected(pod, stack), strict=True))
        async with asyncio.TaskGroup() as group:
            for user, client in clients.items():
                group.create_task(_join_all(client, self.chats[user]))
        return {user: client.answer["pid"] for user, client in clients.items()}

    async def leave_behind(self, pod: Gateway) -> dict[str, str]:
        """Connect them, join all chats, kill the pod; give each user's pid."""
        async with AsyncExitStack() as stack:
            pids = await self.join(pod, stack)
            await pod.kill()
            return pids

    async def recovered(self, pod: Gateway, pids: dict[str, str]) -> int:
        """Resume all sessions at once; count those that are recovered."""
        async with AsyncExitStack() as stack, asyncio.timeout(STORM_SECONDS):
            clients = await self._connected(pod, stack, pids)
            return sum(client.answer["pid"] in pids.values() for client in clients)

    async def _connected(
        self, pod: Gateway, stack: AsyncExitStack, pids: dict[str, str] | None = None
    ) -> list[Raw]:
        claims = {user: {"pid": pids[user]} if pids else {"recovery": True} for user in self.chats}
        connecting = [raw(pod, user, **claim) for user, claim in claims.items()]
        return await asyncio.gather(*map(stack.enter_async_context, connecting))


async def _join_all(client: Raw, chats: list[str]) -> None:
    for chat in chats:
        # A join that Redis has not stored within a second is refused: the machine may be busy.
        while (code := await client.try_to_join(chat)) == "unavailable":
            pass
        assert code == "ok"


@asynccontextmanager
async def slow_api(kind: str) -> AsyncIterator[ChatApi]:
    port = unused_port()
    async with http_chat_api(port) if kind == "http" else nest_chat_api(12, port) as api:
        yield api


@pytest.mark.parametrize(
    ("kind", "users", "chats_each"),
    [
        pytest.param("http", 300, 10, marks=pytest.mark.long),
        ("nest", 300, 10),
        pytest.param("nest", 60, 60, marks=pytest.mark.long),
    ],
)
async def test_all_sessions_of_a_killed_pod_are_recovered_however_many_questions_that_takes(
    kind: str,
    users: int,
    chats_each: int,
    own_valkey: Valkey,
    gateway: StartGateway,
    mine: str,
) -> None:
    crowd = Crowd.strangers(users, chats_each, mine)
    async with (
        slow_api(kind) as api,
        gateway(own_valkey.url, **api.settings, **PATIENT) as doomed,
        gateway(own_valkey.url, **api.settings, **PATIENT) as pod,
    ):
        await api.set_chats(**crowd.members)
        pids = await crowd.leave_behind(doomed)
        await api.set_delay(SLOW_SECONDS)
        assert await crowd.recovered(pod, pids) == users


async def test_where_the_api_names_a_user_s_chats_or_a_chat_s_users_few_questions_are_asked(
    own_valkey: Valkey, gateway: StartGateway, mine: str
) -> None:
    crowd = Crowd.neighbours(60, 10, mine)
    for kind, questions in (("http", 60), ("nest", 20)):
        async with (
            slow_api(kind) as api,
            gateway(own_valkey.url, **api.settings, **PATIENT) as doomed,
            gateway(own_valkey.url, **api.settings, **PATIENT) as pod,
        ):
            if isinstance(api, HttpChatApi):
                api.names_chats = True
            await api.set_chats(**crowd.members)
            pids = await crowd.leave_behind(doomed)
            api.asked.clear()
            await api.set_delay(SLOW_SECONDS)
            assert await crowd.recovered(pod, pids) == 60
            # Those that are under way when the first answer comes were begun without knowing.
            assert questions <= len(api.asked) <= questions + FIRST_CALLS


async def test_joins_of_600_sockets_at_once_are_all_answered_by_a_slow_api(
    own_valkey: Valkey, gateway: StartGateway, mine: str
) -> None:
    """With NestJS all questions share a connection: none of them may be taken for its end."""
    crowd = Crowd.strangers(600, 2, mine)
    async with (
        slow_api("nest") as api,
        gateway(own_valkey.url, **api.settings, **PATIENT) as pod,
        AsyncExitStack() as stack,
    ):
        await api.set_chats(**crowd.members)
        await api.set_delay(2 * SLOW_SECONDS)
        await crowd.join(pod, stack)
        for outcome in ("timeout", "failed", "busy"):
            name = "constellation_chat_access_duration_seconds_count"
            assert await pod.metric(name, outcome=outcome) == 0
