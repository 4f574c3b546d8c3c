"""What a deployment can be asked to carry."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from constellation_ws.cli.sizing.load import MOST_EVENTS, Bounds, InvalidLoad, Load, read_rate

LOAD = Load(users=100, events_per_second=10, recipients=2, event_bytes=300, window_seconds=120)
BOUNDS = Bounds(
    log_max_entries=1_000,
    max_connections=500,
    max_connects_per_second=20,
    max_event_bytes=300,
)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("500", 500),
        ("500/s", 500),
        ("500/sec", 500),
        ("30000/min", 500),
        ("30000/m", 500),
        ("1.8e6/h", 500),
        ("3600/hour", 1),
        (" 0.5/S ", 0.5),
        ("0", 0),
    ],
)
def test_a_rate_is_read_per_second(text: str, rate: float) -> None:
    assert read_rate(text) == rate


@pytest.mark.parametrize(
    "text", ["", "/s", "5x", "5/d", "5/", "5/s/s", "-5", "1,5", "1..5", "nan", "inf", "٣"]
)
def test_what_is_no_rate_is_refused_with_examples(text: str) -> None:
    with pytest.raises(InvalidLoad, match="is not a rate: write 500/s, 30000/min"):
        read_rate(text)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("users", 0, "The number of users is 0; it must be 1 or more."),
        ("events_per_second", -1.0, "events per second must be from 0 to 10,000,000"),
        ("events_per_second", MOST_EVENTS + 1.0, "events per second must be from 0"),
        ("events_per_second", float("nan"), "events per second must be from 0"),
        ("recipients", -0.5, "must be a number that is not negative"),
        ("recipients", float("nan"), "must be a number that is not negative"),
        ("recipients", 101.0, "101 recipients: the number of connected users is 100."),
        ("event_bytes", 0, "An event of 0 bytes is not possible."),
        ("window_seconds", 0.0, "The window must be a number of seconds above 0."),
        ("window_seconds", -1.0, "The window must be a number of seconds above 0."),
        ("window_seconds", float("inf"), "The window must be a number of seconds above 0."),
        ("window_seconds", float("nan"), "The window must be a number of seconds above 0."),
    ],
)
def test_what_no_deployment_can_carry_is_refused(field: str, value: Any, says: str) -> None:
    with pytest.raises(InvalidLoad, match=says):
        replace(LOAD, **{field: value})


def test_the_least_and_the_most_are_accepted() -> None:
    replace(LOAD, users=1, recipients=1)
    replace(LOAD, events_per_second=float(MOST_EVENTS), recipients=100)
    replace(LOAD, events_per_second=0, recipients=0, event_bytes=1, window_seconds=0.5)


def test_events_that_pods_would_drop_are_refused() -> None:
    BOUNDS.check(LOAD)
    BOUNDS.check(replace(LOAD, event_bytes=1))
    with pytest.raises(InvalidLoad, match="Events of 301 bytes are dropped: CONSTELLATION_MAX"):
        BOUNDS.check(replace(LOAD, event_bytes=301))
