"""What the gateway's keys and channels are called: pods of other releases use the same ones."""

from __future__ import annotations

from bisect import bisect
from collections import Counter

import pytest
from redis.crc import key_slot

from constellation_ws.redis_io.names import DEFAULT, Names

PARTITIONS = [
    "constellation:events:1.3163",
    "constellation:events:2.9950",
    "constellation:events:3.19943",
]


def test_every_name_is_the_same_in_each_release() -> None:
    names = Names("p")
    assert (names.log, names.commands, names.ticks) == ("p:events", "p:commands", "p:ticks")
    assert (names.heartbeat("a.1"), names.reply("a.1")) == ("p:heartbeat:a.1", "p:reply:a.1")
    assert names.presence_channel == "p:presence"
    in_the_slot_of_the_log = {
        names.state: "state",
        names.meeting: "meeting",
        names.pods: "presence:pods",
        names.readers: "presence:readers",
        names.followers: "presence:followers",
        names.peers: "peers",
        names.peer_key(7): "peer-key:7",
        names.users("a.1"): "presence:users:a.1",
        names.announced: "presence:announced",
        names.shares: "presence:shares",
        names.presence_state: "presence:state",
        names.presence_events: "presence:events",
        names.posting: "presence:posting",
        names.share("s"): "presence:share:s",
        names.session("pid"): "session:pid",
        names.once("r"): "once:r",
    }
    assert in_the_slot_of_the_log == {
        f"{{p:events}}:{name}": name for name in in_the_slot_of_the_log.values()
    }


def test_without_a_prefix_they_begin_with_the_name_of_the_gateway() -> None:
    assert DEFAULT.log == "constellation:events"


def test_a_further_partition_has_a_log_of_its_own_and_shares_all_else() -> None:
    names = Names("p")
    one = names.of_partition(1)
    assert one.of_partition(0) == names
    assert names.of_partition(0) == names
    assert one.log.startswith("p:events:1.")
    assert one.ticks == "p:ticks:1"
    assert one.state == f"{{{one.log}}}:state"
    assert one.once("r") == f"{{{one.log}}}:once:r"
    for name in ("commands", "meeting", "pods", "readers", "followers", "peers", "announced"):
        assert getattr(one, name) == getattr(names, name)
    assert one.session("pid") == names.session("pid")
    assert one.users("a.1") == names.users("a.1")


def test_names_of_partitions_are_the_same_in_each_release() -> None:
    assert [DEFAULT.of_partition(number).log for number in range(1, 4)] == PARTITIONS


@pytest.mark.parametrize("prefix", ["constellation", "staging", "a", "team-7.chat"])
@pytest.mark.parametrize("nodes", [1, 2, 3, 4, 5, 6, 8, 12])
def test_partitions_spread_evenly_over_the_nodes_of_a_cluster(prefix: str, nodes: int) -> None:
    names = Names(prefix)
    for count in (3, 6, 12, 24, 48):
        slots = [key_slot(names.of_partition(number).log.encode()) for number in range(count)]
        assert len(set(slots)) == count
        ring = sorted(slots)
        gaps = [(b - a) % 16_384 for a, b in zip(ring, [*ring[1:], ring[0]], strict=True)]
        assert max(gaps) - min(gaps) <= 2
        on_each = Counter(slot * nodes // 16_384 for slot in slots)
        assert max(on_each.values()) - min(on_each[node] for node in range(nodes)) <= 1


def test_three_partitions_of_the_default_prefix_are_on_the_primaries_of_a_default_cluster() -> None:
    slots = [key_slot(DEFAULT.of_partition(number).log.encode()) for number in range(3)]
    assert sorted(bisect([0, 5_461, 10_923], slot) for slot in slots) == [1, 2, 3]


def test_all_keys_of_a_partition_are_in_the_slot_of_its_log() -> None:
    for number in (0, 1, 63):
        names = DEFAULT.of_partition(number)
        keys = (names.log, names.state, names.once("r"))
        assert len({key_slot(key.encode()) for key in keys}) == 1
