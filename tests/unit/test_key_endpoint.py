"""Keys over HTTP, from a real server that is rotated, falls ill and comes back."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
from structlog.testing import capture_logs

from service.auth import AUTH_UNAVAILABLE
from service.jwt_keys import PUBLIC_ALGORITHMS, VerificationKey
from service.key_endpoint import MAX_DOCUMENT_BYTES, KeyEndpoint
from service.refetching import Pace
from service.tokens import UNKNOWN_KEY, Header
from tests.issuer import Issuer, running_issuer
from tests.waiting import PATIENCE_SECONDS, cancelled, eventually

SELDOM = Pace(interval_seconds=3_600, first_retry_seconds=0.01, longest_retry_seconds=0.01)
"""Nothing is fetched again unless somebody asks, or the last fetch has failed."""
NO_RETRY = Pace(interval_seconds=3_600, first_retry_seconds=3_600, longest_retry_seconds=3_600)


@contextmanager
def running(
    issuer: Issuer, pace: Pace = SELDOM, algorithms: tuple[str, ...] = PUBLIC_ALGORITHMS
) -> Iterator[KeyEndpoint]:
    endpoint = KeyEndpoint(issuer.url, algorithms, pace)
    task = asyncio.create_task(endpoint.run(lambda: None))
    try:
        yield endpoint
    finally:
        task.cancel()


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with running_issuer() as issuer:
        issuer.rotate("k1", "EdDSA")
        yield issuer


async def fetched(endpoint: KeyEndpoint) -> None:
    await eventually(lambda: endpoint.has_fetched, PATIENCE_SECONDS, "keys are there")


def named(kid: str | None, algorithm: str = "EdDSA") -> Header:
    return Header(algorithm, kid)


async def test_a_key_is_found_by_its_name_once_it_has_been_fetched(issuer: Issuer) -> None:
    with running(issuer) as endpoint:
        assert await endpoint.find(named("k1")) is AUTH_UNAVAILABLE
        await fetched(endpoint)
        key = await endpoint.find(named("k1"))
        assert isinstance(key, VerificationKey)
        assert (key.kid, key.algorithms) == ("k1", {"EdDSA"})
        assert await endpoint.find(named(None)) is key
        assert issuer.requests == 1


async def test_an_unknown_key_is_asked_for_once_for_all_who_wait(issuer: Issuer) -> None:
    with running(issuer) as endpoint:
        await fetched(endpoint)
        issuer.rotate("k2", "ES256")
        found = await asyncio.gather(*(endpoint.find(named("k2", "ES256")) for _ in range(20)))
        assert {type(one) for one in found} == {VerificationKey}
        assert issuer.requests == 2


async def test_who_comes_while_the_key_is_fetched_gets_it_as_well(issuer: Issuer) -> None:
    with running(issuer) as endpoint:
        await fetched(endpoint)
        issuer.rotate("k2", "ES256")
        issuer.hold()
        first = asyncio.create_task(endpoint.find(named("k2", "ES256")))
        await eventually(lambda: issuer.requests == 2, PATIENCE_SECONDS, "it asks")
        second = asyncio.create_task(endpoint.find(named("k2", "ES256")))
        await asyncio.sleep(0)  # lets it begin
        issuer.let_go()
        assert await first is await second
        assert isinstance(await second, VerificationKey)
        assert issuer.requests == 2


async def test_an_unknown_key_is_asked_for_again_only_after_the_cool_down(issuer: Issuer) -> None:
    with running(issuer) as endpoint:
        await fetched(endpoint)
        assert [await endpoint.find(named("x")) for _ in range(5)] == [UNKNOWN_KEY] * 5
        assert issuer.requests == 2
    eager = Pace(interval_seconds=3_600, cooldown_seconds=0)
    with running(issuer, eager) as endpoint:
        await fetched(endpoint)
        before = issuer.requests
        assert [await endpoint.find(named("x")) for _ in range(5)] == [UNKNOWN_KEY] * 5
        assert issuer.requests == before + 5


async def test_a_token_without_a_key_s_name_asks_for_nothing(issuer: Issuer) -> None:
    issuer.rotate("k2", "EdDSA")
    with running(issuer) as endpoint:
        await fetched(endpoint)
        assert await endpoint.find(named(None)) is UNKNOWN_KEY
        assert issuer.requests == 1


async def test_who_asks_while_a_fetch_is_under_way_waits_for_the_next_one(issuer: Issuer) -> None:
    """What is under way may have been read before the key was there."""
    eager = Pace(interval_seconds=3_600, cooldown_seconds=0)
    with running(issuer, eager) as endpoint:
        await fetched(endpoint)
        issuer.hold()
        first = asyncio.create_task(endpoint.find(named("x")))
        await eventually(lambda: issuer.requests == 2, PATIENCE_SECONDS, "it asks")
        second = asyncio.create_task(endpoint.find(named("k2", "ES256")))
        issuer.rotate("k2", "ES256")
        await asyncio.sleep(0)  # lets it begin
        issuer.let_go()
        assert await first is UNKNOWN_KEY
        assert isinstance(await second, VerificationKey)


async def test_keys_that_are_withdrawn_are_gone_with_the_next_fetch(issuer: Issuer) -> None:
    with running(issuer, Pace(interval_seconds=0.01)) as endpoint:
        await fetched(endpoint)
        issuer.rotate("k2", "EdDSA")
        del issuer.keys["k1"]

        async def is_gone() -> bool:
            return await endpoint.find(named("k1")) is UNKNOWN_KEY

        await eventually(is_gone, PATIENCE_SECONDS, "the old key is gone")


async def test_while_the_endpoint_is_away_its_last_keys_serve_and_others_are_not_judged(
    issuer: Issuer,
) -> None:
    with running(issuer, NO_RETRY) as endpoint:
        await fetched(endpoint)
        issuer.fall_ill()
        assert await endpoint.find(named("x")) is AUTH_UNAVAILABLE
        assert await endpoint.find(named("y")) is AUTH_UNAVAILABLE
        assert isinstance(await endpoint.find(named("k1")), VerificationKey)
        assert issuer.requests == 2


async def test_an_outage_is_told_once_and_so_is_its_end(issuer: Issuer) -> None:
    issuer.fall_ill()
    with capture_logs() as logs, running(issuer) as endpoint:
        await eventually(lambda: issuer.requests > 5, PATIENCE_SECONDS, "it tries again")
        issuer.recover()
        await fetched(endpoint)
    assert [one["event"] for one in logs] == ["keys cannot be fetched", "keys fetched"]
    assert logs[0]["reason"] == "the answer was HTTP 503"


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (500, b"", {}),
        (301, b"", {"location": "/keys"}),
        (302, b"", {"location": "file:///etc/passwd"}),
        (200, b"<html>", {}),
        (200, b'{"keys":[]}', {}),
        (200, b" " * MAX_DOCUMENT_BYTES + b"{}", {}),
        (200, gzip.compress(json.dumps({"keys": []}).encode()), {"content-encoding": "gzip"}),
    ],
    ids=["an error", "a redirect", "a redirect to a file", "a page", "no keys", "too large",
         "compressed"],
)  # fmt: skip
async def test_what_is_no_set_of_keys_changes_nothing(
    status: int, body: bytes, headers: dict[str, str], issuer: Issuer
) -> None:
    with running(issuer, NO_RETRY) as endpoint:
        await fetched(endpoint)
        issuer.fall_ill(status, body, **headers)
        assert await endpoint.find(named("x")) is AUTH_UNAVAILABLE
        assert issuer.requests == 2
        assert isinstance(await endpoint.find(named("k1")), VerificationKey)


async def test_an_endpoint_that_is_not_there_or_does_not_answer_is_away(issuer: Issuer) -> None:
    issuer.port, port = 1, issuer.port
    with running(issuer, NO_RETRY) as endpoint:
        await eventually(lambda: endpoint._plan.has_failed, PATIENCE_SECONDS, "nobody is there")
    issuer.port = port
    issuer.hold()
    silent = KeyEndpoint(issuer.url, PUBLIC_ALGORITHMS, NO_RETRY, fetch_seconds=0.05)
    task = asyncio.create_task(silent.run(lambda: None))
    await eventually(lambda: silent._plan.has_failed, PATIENCE_SECONDS, "it is given up")
    await cancelled([task])
    issuer.let_go()


async def test_nobody_waits_for_an_endpoint_that_has_ended(issuer: Issuer) -> None:
    endpoint = KeyEndpoint(issuer.url, PUBLIC_ALGORITHMS, Pace(cooldown_seconds=0))
    task = asyncio.create_task(endpoint.run(lambda: None))
    await fetched(endpoint)
    issuer.hold()
    waiting = asyncio.create_task(endpoint.find(named("x")))
    await eventually(lambda: issuer.requests == 2, PATIENCE_SECONDS, "it asks")
    await cancelled([task])
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await waiting is UNKNOWN_KEY
        assert await endpoint.find(named("x")) is UNKNOWN_KEY
    issuer.let_go()
