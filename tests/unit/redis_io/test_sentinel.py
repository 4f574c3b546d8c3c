"""Where the primary is, by the words of one Sentinel. Real ones: journey/test_topologies."""

from __future__ import annotations

import pytest

from constellation_ws.redis_io.sentinel import read_report
from constellation_ws.redis_io.topology import NoReport, TopologyReport

DETAILS = {b"name": b"main", b"ip": b"10.0.0.1", b"config-epoch": b"3"}


@pytest.mark.parametrize("details", [DETAILS, [word for pair in DETAILS.items() for word in pair]])
def test_the_address_is_the_promoted_one_and_the_epoch_that_of_the_details(details: object) -> None:
    assert read_report([b"10.0.0.2", b"6379"], details, "main") == TopologyReport(
        ("10.0.0.2", 6379), 3, ()
    )


def test_a_sentinel_that_keeps_the_details_to_itself_counts_least() -> None:
    refused = PermissionError("NOPERM")
    assert read_report([b"redis", b"6379"], refused, "main") == TopologyReport(
        ("redis", 6379), 0, ()
    )


def test_a_name_that_is_not_watched_is_said() -> None:
    with pytest.raises(NoReport, match="no primary named chat"):
        read_report(None, PermissionError("ERR No such master"), "chat")
