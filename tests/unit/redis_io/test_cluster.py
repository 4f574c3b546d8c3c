"""Who holds our hash slot, by the words of one node. A real Cluster: test_redis_client."""

from __future__ import annotations

from typing import Any

import pytest
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from constellation_ws.redis_io.cluster import ClusterWitnesses, read_report
from constellation_ws.redis_io.names import DEFAULT, Names
from constellation_ws.redis_io.topology import NoReport, TopologyReport

OURS = key_slot(DEFAULT.log.encode())
LAST = REDIS_CLUSTER_HASH_SLOTS - 1
ASKED = ("asked", 1)


def node(host: str | None, port: int) -> list[Any]:
    return [host.encode() if host is not None else None, port, b"id-%d" % port, []]


def line(name: str, epoch: int, *, address: str = "10.0.0.9:9@19", flags: str = "master") -> str:
    """One line of CLUSTER NODES."""
    return f"{name} {address} {flags} - 0 0 {epoch} connected 0-1\n"


def test_all_keys_lie_in_one_slot() -> None:
    for names in (DEFAULT, Names("chat.staging_2")):
        keys = (
            names.log, names.slot, names.state, names.pods, names.users("x"),
            names.session("x"),
        )  # fmt: skip
        assert len({key_slot(key.encode()) for key in keys}) == 1


def test_the_primary_of_our_slot_is_claimed_with_its_epoch_and_others_to_ask() -> None:
    slots = [
        [0, OURS - 1, node("a", 1)],
        [OURS, LAST, node("b", 2), node("c", 3)],
    ]
    lines = line("id-1", 4) + line("id-2", 7) + line("id-3", 7, flags="slave")
    members = {"id-1": ("a", 1), "id-2": ("b", 2), "id-3": ("c", 3)}
    others = (("c", 3), ("a", 1))
    report = read_report(slots, lines, ASKED, OURS)
    assert report == TopologyReport(("b", 2), 7, others, "id-2", members)


def test_members_are_all_that_the_majority_has_not_given_up() -> None:
    lines = (
        line("id-1", 1, address="10.0.0.1:6379@16379,a.example")
        + line("no-slots", 1, address="fd00::2:6379@16379")
        + line("doubted", 1, address="10.0.0.3:6379@16379", flags="master,fail?")
        + line("failed", 1, flags="slave,fail")
        + line("nowhere", 1, flags="master,noaddr")
        + line("stranger", 1, flags="handshake")
    )
    report = read_report([[0, LAST, node("a.example", 1)]], lines.encode(), ASKED, OURS)
    assert report.members == {
        "id-1": ("a.example", 1),  # as the Cluster wants it to be called
        "no-slots": ("fd00::2", 6379),
        "doubted": ("10.0.0.3", 6379),
    }


def test_a_cluster_of_many_nodes_is_not_asked_altogether() -> None:
    others = [[slot, slot, node(f"n{slot}", slot)] for slot in range(OURS)]
    slots = [*others, [OURS, LAST, node("b", 20_000), node("c", 20_001)]]
    assert len(read_report(slots, b"", ASKED, OURS).others) < 10


@pytest.mark.parametrize("host", [None, "", "?"])
def test_a_node_that_does_not_know_its_address_is_where_it_was_asked(host: str | None) -> None:
    assert read_report([[0, LAST, node(host, 6379)]], b"", ASKED, OURS).node == ("asked", 6379)


def test_an_epoch_that_is_not_told_is_the_oldest() -> None:
    assert read_report([[0, LAST, node("a", 1)]], b"", ASKED, OURS).configuration_epoch == 0


@pytest.mark.parametrize("slots", [[], [[0, OURS - 1, node("a", 1)]]])
def test_a_slot_that_nobody_holds_is_not_guessed(slots: list[Any]) -> None:
    with pytest.raises(NoReport, match="no owner of the gateway's hash slot"):
        read_report(slots, b"", ASKED, OURS)


def test_nodes_of_the_last_claim_are_asked_and_those_of_the_url_always() -> None:
    witnesses = ClusterWitnesses([("seed", 1), ("b", 2)], DEFAULT.slot)
    assert witnesses.whom(None) == (("seed", 1), ("b", 2))
    last = TopologyReport(("b", 2), 7, (("c", 3),))
    assert witnesses.whom(last) == (("b", 2), ("c", 3), ("seed", 1))
