"""The settings' limits, as the parts take them."""

from __future__ import annotations

import pytest

from constellation_ws.runtime import open_files
from constellation_ws.settings.settings import defaults
from constellation_ws.wiring import bounds


@pytest.mark.parametrize(
    ("buffer_bytes", "event_bytes"), [(1_048_576, 1_000_000), (1_000, 1_000_000), (10**7, 1_000)]
)
def test_any_event_can_be_replayed_and_no_replay_is_too_much_at_once(
    buffer_bytes: int, event_bytes: int
) -> None:
    limits = {"max_write_buffer_bytes": buffer_bytes, "max_event_bytes": event_bytes}
    settings = defaults(limits=limits)
    replayed = bounds.replay_limits(settings)
    engine = bounds.engine_limits(settings, open_files.share(100_000, 1_000))
    assert replayed.max_bytes > event_bytes
    assert replayed.max_bytes < engine.max_burst_bytes
    assert engine.max_burst_bytes >= buffer_bytes + 2 * event_bytes
