"""Requests that schemathesis makes of the OpenAPI document, valid ones and broken ones, and whether
the answers are those that it describes.

`--hypothesis-profile=exploring` makes other requests than the ones that are repeated here.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
import pytest_asyncio
import requests
import schemathesis
from hypothesis import HealthCheck, assume, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from constellation_ws.api import openapi
from constellation_ws.api.operations import Operations
from tests.http_api import KEY, WITH_API
from tests.journey.conftest import StartGateway
from tests.processes import HOST, Gateway, running_valkey
from tests.tables import compiled

EXAMPLES = 60
PLENTY = {"CONSTELLATION_API_MAX_REQUESTS_PER_SECOND": 1_000_000}
ROWS = Operations(cast("Any", None)).rows()
DOCUMENT = json.loads(openapi.document(ROWS, compiled(), ["/chats"]))
CONFORMING = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
REFUSES_VALID = {
    "publish": "what a channel requires of an event is not described",
    "sendToUser": "reserved names of events are described in words; a key may come twice",
    "sendToRoom": "the same",
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def target(gateway: StartGateway) -> AsyncIterator[Gateway]:
    """A gateway of its own: what is published to it is for nobody else."""
    with running_valkey() as valkey:
        async with gateway(valkey.url, **WITH_API, **PLENTY) as pod:
            yield pod
            assert pod.log("api request failed") == []


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_answers_are_those_that_are_described(target: Gateway, row: Any, mode: Any) -> None:
    operation = schemathesis.openapi.from_dict(DOCUMENT)[row.template][row.method]
    checks = [*CONFORMING]
    if mode is GenerationMode.NEGATIVE:
        checks.append(negative_data_rejection)
    elif row.name not in REFUSES_VALID:
        checks.append(positive_data_acceptance)

    with requests.Session() as session:

        @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
        @given(operation.as_strategy(mode))
        def answers_conform(case: schemathesis.Case[Any]) -> None:
            # `requests` leaves such parameters out: what was wrong about them is not sent.
            assume(all(value not in (None, [], {}) for value in (case.query or {}).values()))
            response = case.call(
                base_url=f"http://{HOST}:{target.api_port}",
                session=session,
                headers={"Authorization": f"Bearer {KEY}"},
            )
            case.validate_response(response, checks=checks)

        answers_conform()
