"""What the recorder logs of the answers that it gets while it records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from constellation_ws.log.state import Packing
from constellation_ws.recording.inquiry import Inquiry


class State:
    """Answers as it is set."""

    packing = Packing.REFUSED

    async def request_lease(self, *_: object) -> None:
        """Give no lease."""

    async def permit_packing(self, *_: object, is_wanted: bool) -> Packing:
        return self.packing if is_wanted else Packing.REFUSED


class Log:
    """A log of one partition, or one of several."""

    def __init__(self, shown: Mapping[str, int]) -> None:
        self.shown, self.state = shown, State()

    def note_epoch(self, _: object) -> None: ...

    def damaged(self, _: str) -> None: ...


class Quiet:
    """A seat, an assignment and an appender that have nothing to do."""

    known_partitions = 1

    def claim(self, *, may_stop: bool) -> None: ...

    def note(self, *_: object) -> None: ...

    def permit_packing(self, _: bool) -> None: ...

    async def widen(self, *_: object) -> bool:
        return False


@pytest.mark.parametrize("shown", [{}, {"partition": 2}])
async def test_a_change_of_packing_names_the_partition_where_there_are_several(
    shown: Mapping[str, int],
) -> None:
    log: Any = Log(shown)
    quiet: Any = Quiet()
    inquiry = Inquiry(log, quiet, quiet, wants_packing=True)
    with capture_logs() as lines:
        for log.state.packing in (Packing.PERMITTED, Packing.REFUSED, Packing.UNREADABLE):
            await inquiry.make(quiet, "a.1")
    assert [{**shown, **line} == line for line in lines] == [True] * 3
    assert ["partition" in line for line in lines] == [bool(shown)] * 3
