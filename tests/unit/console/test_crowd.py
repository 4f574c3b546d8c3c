"""The console before fifty thousand users: what a question costs does not grow with who is online.

How soon a deployment with as many real sessions answers is measured by `benchmarks/crowd.py`.
"""

from __future__ import annotations

from typing import cast

import msgspec
import pytest
from redis.asyncio import Redis

from constellation_ws.api.operations import Call
from constellation_ws.chats.presence import Presence
from constellation_ws.console import pod as pods
from constellation_ws.console import questions, shapes
from constellation_ws.console.cluster import Cluster
from constellation_ws.console.operations import Operations
from constellation_ws.console.questions import PodRooms
from constellation_ws.messages.events import UserId
from constellation_ws.runtime import turns
from constellation_ws.services.actions import Actions
from tests.loop_turns import Others
from tests.unit.console.test_operations import Pods
from tests.unit.wiring.test_console import ON, asked, connect, made

USERS, PODS, PAGE = 50_000, 4, 200
ANSWER_BYTES = 5_000


@pytest.fixture
async def crowd(redis: Redis) -> Operations:
    """The console of a pod, in a deployment with everybody."""
    everybody = [Presence(redis, f"pod-{number}") for number in range(PODS)]
    for number in range(USERS):
        everybody[number % PODS].arrive(UserId(f"u{number:05}"))
    for one in everybody:
        await one._refresh()
        await one._save()
    actions, cluster = cast("Actions", everybody[0]), Cluster(Pods().ask, everybody[0].pods)
    return Operations(actions, cluster, "pod-0", may_act=False, shows_text=False)


async def test_all_pages_are_small_and_cost_one_range_for_each_pod(
    crowd: Operations, redis: Redis
) -> None:
    await redis.config_resetstat()
    found, cursor, pages = list[str](), "", 0
    while True:
        query = shapes.UsersQuery(cursor=cursor, limit=PAGE)
        page = await crowd.users(Call(query, None))
        assert len(msgspec.json.encode(page)) < ANSWER_BYTES
        found += page.users
        pages += 1
        if page.cursor is None:
            break
        cursor = page.cursor
    assert found == [f"u{number:05}" for number in range(USERS)]
    assert pages == USERS // PAGE
    ranges = (await redis.info("commandstats"))["cmdstat_zrangebylex"]["calls"]
    assert ranges == PODS * pages


async def test_a_search_reads_only_where_the_prefix_begins(crowd: Operations) -> None:
    page = await crowd.users(Call(shapes.UsersQuery(prefix="u4999", limit=PAGE), None))
    assert page.users == [f"u4999{number}" for number in range(10)]
    assert page.cursor is None
    nobody = await crowd.users(Call(shapes.UsersQuery(prefix="v"), None))
    assert (nobody.users, nobody.cursor) == ([], None)


async def test_others_have_their_turn_while_rooms_are_searched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gateway, others = made(**ON), Others()
    for number in range(100):
        connect(gateway, f"u{number:02}", "chat:all", f"chat:{number:02}", f"chat:{number % 5}-5")
    monkeypatch.setattr(pods, "_CHUNK", 5)
    monkeypatch.setattr(turns, "TURN_SECONDS", 0)
    with others.having_turns():
        found = await asked(gateway, questions.TopRooms("chat:", 6), PodRooms)
    fives = [(f"chat:{number}-5", 20) for number in range(5)]
    assert [(one.room, one.members) for one in found.rooms] == [("chat:all", 100), *fives]
    assert found.matching == 106
    assert others.turns > 30
