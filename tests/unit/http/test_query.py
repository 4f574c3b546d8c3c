"""What the query of a request must have."""

from __future__ import annotations

import pytest

from constellation_ws.http import refusals
from constellation_ws.http.query import check_query
from constellation_ws.messages.admission import Refusal


@pytest.mark.parametrize(
    ("query", "refusal"),
    [
        ({"EIO": "4", "transport": "polling"}, None),
        ({"EIO": "4", "transport": "polling", "sid": "x", "t": "y", "b64": "1"}, None),
        ({"EIO": "4", "transport": "websocket"}, refusals.NO_UPGRADE),
        ({"EIO": "4", "transport": "webtransport"}, refusals.UNKNOWN_TRANSPORT),
        ({"EIO": "4"}, refusals.UNKNOWN_TRANSPORT),
        ({}, refusals.UNKNOWN_TRANSPORT),
        ({"transport": "polling"}, refusals.UNSUPPORTED_VERSION),
        ({"EIO": "3", "transport": "polling"}, refusals.UNSUPPORTED_VERSION),
        ({"EIO": "4.0", "transport": "polling"}, refusals.UNSUPPORTED_VERSION),
        ({"EIO": "٤", "transport": "polling"}, refusals.UNSUPPORTED_VERSION),
    ],
)
def test_a_query_must_name_the_transport_and_the_version(
    query: dict[str, str], refusal: Refusal | None
) -> None:
    assert check_query(query, "polling") is refusal
