"""Who may have how many open files, and how many there may be."""

from __future__ import annotations

import json
import resource
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.runtime.open_files import OWN_FILES, share
from tests.processes import REPOSITORY
from tests.waiting import PATIENCE_SECONDS


@given(st.integers(256, 10_000_000), st.integers(1, 10_000))
def test_the_shares_are_not_more_than_there_is_and_leave_room_for_answers(
    limit: int, tcp_wanted: int
) -> None:
    shares = share(limit, tcp_wanted)
    assert min(OWN_FILES, limit // 4) + shares.http + shares.tcp <= limit
    assert 0 < shares.sessions < shares.http
    assert 0 < shares.tcp <= tcp_wanted


@pytest.mark.parametrize("limit", [1, 20, 64])
def test_a_limit_below_all_reason_still_leaves_somebody_in(limit: int) -> None:
    shares = share(limit, 1_000)
    assert shares.http > shares.sessions > 0
    assert shares.tcp > 0


def test_what_containers_give_by_default_is_not_enough_and_what_they_allow_is() -> None:
    assert not share(1_024, 1_000).suffices_for(50_000)
    assert share(524_288, 1_000).suffices_for(50_000)
    assert share(524_288, 1_000).tcp == 1_000


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = min(1_000, hard)
    program = f"""
import json, resource
from constellation_ws.runtime import open_files
resource.setrlimit(resource.RLIMIT_NOFILE, (100, {most}))
before = open_files.limit()
print(json.dumps([before, open_files.raise_limit(), resource.getrlimit(resource.RLIMIT_NOFILE)]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
        timeout=4 * PATIENCE_SECONDS,
    )
    assert json.loads(done.stdout) == [100, most, [most, most]]


def test_the_http_api_has_a_share_where_it_is_on() -> None:
    assert share(524_288, 1_000).api == 0
    assert share(524_288, 1_000, 1_000).api == 1_000
    scarce = share(1_024, 1_000, 1_000)
    assert scarce.api == scarce.tcp
    assert scarce.http + scarce.tcp + scarce.api <= 1_024
