"""Who holds our hash slot, as CLUSTER SLOTS tells it. A real Cluster: journey/test_topologies."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from service.redis_address import read_cluster
from service.redis_cluster import _owner_first, find_slot, follow_slot
from service.redis_names import DEFAULT, Names
from tests.processes import HOST, unused_port

SLOT = DEFAULT.slot
OURS = key_slot(DEFAULT.log.encode())
LAST = REDIS_CLUSTER_HASH_SLOTS - 1


def node(host: str | None, port: int) -> list[Any]:
    return [host.encode() if host is not None else None, port, b"id", []]


def test_all_keys_lie_in_one_slot() -> None:
    for names in (DEFAULT, Names("chat.staging_2")):
        keys = (
            names.log, names.slot, names.state, names.pods, names.users("x"),
            names.session("x"),
        )  # fmt: skip
        assert len({key_slot(key.encode()) for key in keys}) == 1


def test_the_primary_of_our_slot_comes_first_and_all_others_are_known_too() -> None:
    slots = [
        [0, OURS - 1, node("a", 1)],
        [OURS, LAST, node("b", 2), node("c", 3)],
    ]
    assert list(_owner_first(slots, "asked", SLOT)) == [("b", 2), ("c", 3), ("a", 1)]


@pytest.mark.parametrize("host", [None, ""])
def test_a_node_that_does_not_know_its_address_is_where_it_was_asked(host: str | None) -> None:
    assert list(_owner_first([[0, LAST, node(host, 1)]], "asked", SLOT)) == [("asked", 1)]


@pytest.mark.parametrize("slots", [[], [[0, OURS - 1, node("a", 1)]]])
def test_a_slot_that_nobody_holds_is_not_guessed(slots: list[Any]) -> None:
    with pytest.raises(ValueError, match="nobody"):
        list(_owner_first(slots, "asked", SLOT))


async def test_a_cluster_that_cannot_be_reached_is_said_so() -> None:
    address = read_cluster(f"redis+cluster://{HOST}:{unused_port()}")
    assert address is not None
    with pytest.raises(redis.ConnectionError, match="no node"):
        find_slot(address, SLOT)
    async with follow_slot(address, SLOT, retry=Retry(NoBackoff(), 0)) as client:
        with pytest.raises(redis.ConnectionError, match="no node"):
            await client.ping()
