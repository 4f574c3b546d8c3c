"""What holds for every unit test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from constellation_ws.runtime import turns


@pytest.fixture(autouse=True)
def long_turns() -> Iterator[None]:
    """Let no turn of the loop end because the machine is busy: its end is a test of its own.

    By a patch of its own, which a test that takes its patches back leaves as it is.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(turns, "TURN_SECONDS", 3_600.0)
        yield
