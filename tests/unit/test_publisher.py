"""Doubts about an event that is about to be published. Publishing itself needs a Redis."""

import json

import pytest

from service.publisher import doubt_of
from service.routes import load
from tests.event_cases import CASES

TABLE = load()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_events_that_reach_somebody_raise_no_doubt(case) -> None:  # type: ignore[no-untyped-def]
    assert doubt_of(TABLE, case.channel, case.publish.encode()) is None
