"""The HTTP response to each refusal."""

from __future__ import annotations

import json
from http import HTTPStatus

import pytest

from constellation_ws.http import refusals
from constellation_ws.http.refusals import response_to
from constellation_ws.messages.admission import DRAINING, Refusal

REFUSALS = [value for value in vars(refusals).values() if isinstance(value, Refusal)]


def test_every_refusal_has_a_status_and_a_body_that_names_its_code() -> None:
    assert DRAINING in REFUSALS
    for refusal in REFUSALS:
        response = response_to(refusal)
        assert response.status >= HTTPStatus.BAD_REQUEST
        told = json.loads(response.body)
        assert told["message"] == refusal.message
        assert told["data"] == {"code": refusal.code}


@pytest.mark.parametrize(
    ("refusal", "status", "number"),
    [
        (refusals.UNKNOWN_TRANSPORT, 400, 0),
        (refusals.NO_UPGRADE, 400, 3),
        (refusals.UNKNOWN_SESSION, 400, 1),
        (refusals.BAD_METHOD, 400, 2),
        (refusals.BAD_REQUEST, 400, 3),
        (refusals.FORBIDDEN_ORIGIN, 403, 4),
        (refusals.UNSUPPORTED_VERSION, 400, 5),
    ],
)
def test_refusals_of_the_reference_server_carry_its_number(
    refusal: Refusal, status: int, number: int
) -> None:
    response = response_to(refusal)
    assert (response.status, json.loads(response.body)["code"]) == (status, number)


@pytest.mark.parametrize(
    "refusal", [DRAINING, refusals.TOO_MANY_CONNECTIONS, refusals.TOO_MANY_CONNECTS]
)
def test_who_finds_no_room_is_told_when_to_come_back(refusal: Refusal) -> None:
    response = response_to(refusal)
    assert response.status == HTTPStatus.SERVICE_UNAVAILABLE
    assert dict(response.headers)[b"retry-after"] == b"1"
