"""Decisions on requests, and how a refusal is told."""

from __future__ import annotations

import json
from http import HTTPStatus

import pytest

from constellation_ws.http import entrance
from constellation_ws.http.entrance import answer, check_query
from constellation_ws.messages.admission import DRAINING, Refusal

REFUSALS = [value for value in vars(entrance).values() if isinstance(value, Refusal)]


@pytest.mark.parametrize(
    ("query", "refusal"),
    [
        ({"EIO": "4", "transport": "polling"}, None),
        ({"EIO": "4", "transport": "polling", "sid": "x", "t": "y", "b64": "1"}, None),
        ({"EIO": "4", "transport": "websocket"}, entrance.NO_UPGRADE),
        ({"EIO": "4", "transport": "webtransport"}, entrance.UNKNOWN_TRANSPORT),
        ({"EIO": "4"}, entrance.UNKNOWN_TRANSPORT),
        ({}, entrance.UNKNOWN_TRANSPORT),
        ({"transport": "polling"}, entrance.UNSUPPORTED_VERSION),
        ({"EIO": "3", "transport": "polling"}, entrance.UNSUPPORTED_VERSION),
        ({"EIO": "4.0", "transport": "polling"}, entrance.UNSUPPORTED_VERSION),
        ({"EIO": "٤", "transport": "polling"}, entrance.UNSUPPORTED_VERSION),
    ],
)
def test_a_query_must_name_the_transport_and_the_version(
    query: dict[str, str], refusal: Refusal | None
) -> None:
    assert check_query(query, "polling") is refusal


def test_every_refusal_has_a_status_and_a_body_that_names_its_code() -> None:
    assert DRAINING in REFUSALS
    for refusal in REFUSALS:
        status, _, body = answer(refusal)
        assert status >= HTTPStatus.BAD_REQUEST
        told = json.loads(body)
        assert told["message"] == refusal.message
        assert told["data"] == {"code": refusal.code}


@pytest.mark.parametrize(
    ("refusal", "status", "number"),
    [
        (entrance.UNKNOWN_TRANSPORT, 400, 0),
        (entrance.NO_UPGRADE, 400, 3),
        (entrance.UNKNOWN_SESSION, 400, 1),
        (entrance.BAD_METHOD, 400, 2),
        (entrance.BAD_REQUEST, 400, 3),
        (entrance.FORBIDDEN_ORIGIN, 403, 4),
        (entrance.UNSUPPORTED_VERSION, 400, 5),
    ],
)
def test_refusals_of_the_reference_server_carry_its_number(
    refusal: Refusal, status: int, number: int
) -> None:
    found, _, body = answer(refusal)
    assert (found, json.loads(body)["code"]) == (status, number)


@pytest.mark.parametrize(
    "refusal", [DRAINING, entrance.TOO_MANY_CONNECTIONS, entrance.TOO_MANY_CONNECTS]
)
def test_who_finds_no_room_is_told_when_to_come_back(refusal: Refusal) -> None:
    status, headers, _ = answer(refusal)
    assert status == HTTPStatus.SERVICE_UNAVAILABLE
    assert dict(headers)[b"retry-after"] == b"1"
