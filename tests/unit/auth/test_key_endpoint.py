"""Keys over HTTP, from a real server that is rotated, falls ill and comes back."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
from structlog.testing import capture_logs

from constellation_ws.auth.authentication import TokenVerifier
from constellation_ws.auth.identity import AUTH_UNAVAILABLE, Identity
from constellation_ws.auth.jwt_keys import PUBLIC_ALGORITHMS, VerificationKey
from constellation_ws.auth.key_endpoint import MAX_DOCUMENT_BYTES, KeyEndpoint
from constellation_ws.auth.refetching import Pace, Refetching
from constellation_ws.auth.tokens import FORGED, TOKEN_EXPIRED, UNKNOWN_KEY, Header, Rules
from constellation_ws.messages.admission import Refusal
from tests.issuer import Issuer, running_issuer
from tests.tokens import claims_of, key_pair
from tests.waiting import PATIENCE_SECONDS, cancelled, eventually

SELDOM = Pace(interval_seconds=3_600, first_retry_seconds=0.01, longest_retry_seconds=0.01)
"""Nothing is fetched again unless somebody asks, or the last fetch has failed."""
EAGER = Pace(interval_seconds=3_600, cooldown_seconds=0)
RULES = Rules(frozenset(PUBLIC_ALGORITHMS), None, None, 0, "sub", "chats", 64)
NO_RETRY = Pace(interval_seconds=3_600, first_retry_seconds=3_600, longest_retry_seconds=3_600)


@contextmanager
def running(
    issuer: Issuer, pace: Pace = SELDOM, fetch_seconds: float = PATIENCE_SECONDS
) -> Iterator[KeyEndpoint]:
    endpoint = KeyEndpoint(issuer.url, PUBLIC_ALGORITHMS, pace, fetch_seconds)
    task = asyncio.create_task(endpoint.run())
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


async def find(endpoint: KeyEndpoint, header: Header) -> object:
    """The key that a token of such a header is verified with, or the refusal."""
    return await endpoint.verify(header, "token", lambda key: key)  # type: ignore[arg-type, return-value]


async def verdict(endpoint: KeyEndpoint, token: str) -> Identity | Refusal:
    """What becomes of a token."""
    return await TokenVerifier(RULES, endpoint, None).verify(token)


def forged(kid: str = "k1", user: str = "eve") -> str:
    """A token that names the issuer's key and is signed with another."""
    return key_pair("EdDSA", "eve").sign(claims_of(user), kid=kid)


def named(kid: str | None, algorithm: str = "EdDSA") -> Header:
    return Header(algorithm, kid)


async def test_a_key_is_found_by_its_name_once_it_has_been_fetched(issuer: Issuer) -> None:
    with running(issuer) as endpoint:
        assert await find(endpoint, named("k1")) is AUTH_UNAVAILABLE
        await fetched(endpoint)
        key = await find(endpoint, named("k1"))
        assert isinstance(key, VerificationKey)
        assert (key.kid, key.algorithms) == ("k1", {"EdDSA"})
        assert await find(endpoint, named(None)) is key
        assert issuer.requests == 1


async def test_an_unknown_key_is_asked_for_once_for_all_who_wait(issuer: Issuer) -> None:
    with running(issuer) as endpoint:
        await fetched(endpoint)
        issuer.rotate("k2", "ES256")
        found = await asyncio.gather(*(find(endpoint, named("k2", "ES256")) for _ in range(20)))
        assert {type(one) for one in found} == {VerificationKey}
        assert issuer.requests == 2


async def test_who_comes_while_the_key_is_fetched_gets_it_as_well(issuer: Issuer) -> None:
    with running(issuer) as endpoint:
        await fetched(endpoint)
        issuer.rotate("k2", "ES256")
        issuer.hold()
        first = asyncio.create_task(find(endpoint, named("k2", "ES256")))
        await eventually(lambda: issuer.requests == 2, PATIENCE_SECONDS, "it asks")
        second = asyncio.create_task(find(endpoint, named("k2", "ES256")))
        await asyncio.sleep(0)  # lets it begin
        issuer.let_go()
        assert await first is await second
        assert isinstance(await second, VerificationKey)
        assert issuer.requests == 2


async def test_an_unknown_key_is_asked_for_again_only_after_the_cool_down(issuer: Issuer) -> None:
    with running(issuer) as endpoint:
        await fetched(endpoint)
        assert [await find(endpoint, named("x")) for _ in range(5)] == [UNKNOWN_KEY] * 5
        assert issuer.requests == 2
    with running(issuer, EAGER) as endpoint:
        await fetched(endpoint)
        before = issuer.requests
        assert [await find(endpoint, named("x")) for _ in range(5)] == [UNKNOWN_KEY] * 5
        assert issuer.requests == before + 5


async def test_a_key_that_cannot_be_asked_for_yet_is_not_judged(issuer: Issuer) -> None:
    """It may have been published a moment ago: a client that is told "forged" never comes back."""
    with running(issuer) as endpoint:
        await fetched(endpoint)
        assert await find(endpoint, named("x")) is UNKNOWN_KEY
        issuer.rotate("k2", "ES256")
        assert await find(endpoint, named("k2", "ES256")) is AUTH_UNAVAILABLE
        assert issuer.requests == 2


async def test_a_key_that_was_replaced_under_its_name_is_fetched_at_the_first_token(
    issuer: Issuer,
) -> None:
    with running(issuer) as endpoint:
        await fetched(endpoint)
        old = issuer.token_of("bob")
        assert isinstance(await verdict(endpoint, old), Identity)
        issuer.replace("k1", "a newer one")
        new = [verdict(endpoint, issuer.token_of(f"u{n}")) for n in range(20)]
        assert {type(one) for one in await asyncio.gather(*new)} == {Identity}
        assert issuer.requests == 2
        assert await verdict(endpoint, old) is AUTH_UNAVAILABLE, "only another fetch could tell"


async def test_a_key_without_a_name_may_be_replaced_as_well(issuer: Issuer) -> None:
    with running(issuer) as endpoint:
        await fetched(endpoint)
        issuer.replace("k1", "a newer one")
        token = issuer.keys["k1"].sign(claims_of("bob"))
        assert isinstance(await verdict(endpoint, token), Identity)


async def test_forged_tokens_ask_for_keys_as_seldom_as_unknown_names(issuer: Issuer) -> None:
    with running(issuer) as endpoint:
        await fetched(endpoint)
        first = forged()
        assert await verdict(endpoint, first) is FORGED
        assert [await verdict(endpoint, first) for _ in range(5)] == [FORGED] * 5
        others = [await verdict(endpoint, forged(user=f"u{n}")) for n in range(50)]
        unknown = [await verdict(endpoint, forged(kid=f"x{n}")) for n in range(50)]
        assert {*others, *unknown} == {AUTH_UNAVAILABLE}
        assert issuer.requests == 2
        assert isinstance(await verdict(endpoint, issuer.token_of("bob")), Identity)


async def test_what_could_not_be_judged_is_once_there_was_a_fetch(issuer: Issuer) -> None:
    with running(issuer) as endpoint:
        await fetched(endpoint)
        assert await find(endpoint, named("x")) is UNKNOWN_KEY
        early = forged()
        assert await verdict(endpoint, early) is AUTH_UNAVAILABLE
        endpoint._plan = Refetching(EAGER, lambda: 0.0)  # its time has come
        assert await verdict(endpoint, forged(user="another")) is FORGED
        endpoint._plan = Refetching(SELDOM, lambda: 0.0)
        endpoint._plan.ask(time.monotonic())
        assert await verdict(endpoint, early) is FORGED
        assert issuer.requests == 3


async def test_a_token_that_is_good_but_for_its_claims_asks_for_nothing(issuer: Issuer) -> None:
    with running(issuer, EAGER) as endpoint:
        await fetched(endpoint)
        assert await verdict(endpoint, issuer.token_of("bob", exp=1)) is TOKEN_EXPIRED
        assert issuer.requests == 1


async def test_nobody_waits_for_more_than_one_fetch(issuer: Issuer) -> None:
    """One that is under way when the token comes, and hangs: 300 tokens, each with a new name."""
    with running(issuer, NO_RETRY, fetch_seconds=0.5) as endpoint:
        await fetched(endpoint)
        issuer.hold()
        tokens = [forged(kid=f"x{n}") for n in range(300)]
        found = await asyncio.gather(*(verdict(endpoint, token) for token in tokens))
        assert set(found) == {AUTH_UNAVAILABLE}
        assert issuer.requests == 2
        assert await verdict(endpoint, forged(kid="y")) is AUTH_UNAVAILABLE
        issuer.let_go()


async def test_a_token_without_a_key_s_name_asks_for_nothing(issuer: Issuer) -> None:
    issuer.rotate("k2", "EdDSA")
    with running(issuer) as endpoint:
        await fetched(endpoint)
        assert await find(endpoint, named(None)) is UNKNOWN_KEY
        assert issuer.requests == 1


async def test_a_fetch_from_before_a_token_came_does_not_judge_it_and_the_next_is_asked_for(
    issuer: Issuer,
) -> None:
    """What is under way may have been read before the key was there."""
    with running(issuer, EAGER) as endpoint:
        await fetched(endpoint)
        issuer.hold()
        first = asyncio.create_task(find(endpoint, named("x")))
        await eventually(lambda: issuer.requests == 2, PATIENCE_SECONDS, "it asks")
        second = asyncio.create_task(find(endpoint, named("k2", "ES256")))
        issuer.rotate("k2", "ES256")
        await asyncio.sleep(0)  # lets it begin
        issuer.let_go()
        assert await first is UNKNOWN_KEY
        assert await second is AUTH_UNAVAILABLE
        await eventually(lambda: issuer.requests == 3, PATIENCE_SECONDS, "it asks by itself")
        assert isinstance(await find(endpoint, named("k2", "ES256")), VerificationKey)


async def test_keys_that_are_withdrawn_are_gone_with_the_next_fetch(issuer: Issuer) -> None:
    with running(issuer, Pace(interval_seconds=0.01, cooldown_seconds=0)) as endpoint:
        await fetched(endpoint)
        issuer.rotate("k2", "EdDSA")
        del issuer.keys["k1"]

        async def is_gone() -> bool:
            return await find(endpoint, named("k1")) is UNKNOWN_KEY

        await eventually(is_gone, PATIENCE_SECONDS, "the old key is gone")


async def test_while_the_endpoint_is_away_its_last_keys_serve_and_others_are_not_judged(
    issuer: Issuer,
) -> None:
    with running(issuer, NO_RETRY) as endpoint:
        await fetched(endpoint)
        issuer.fall_ill()
        assert await find(endpoint, named("x")) is AUTH_UNAVAILABLE
        assert await find(endpoint, named("y")) is AUTH_UNAVAILABLE
        assert isinstance(await find(endpoint, named("k1")), VerificationKey)
        assert issuer.requests == 2


async def test_an_outage_is_told_once_and_so_is_its_end(issuer: Issuer) -> None:
    issuer.fall_ill()
    with capture_logs() as logs, running(issuer) as endpoint:
        await eventually(lambda: issuer.requests > 5, PATIENCE_SECONDS, "it tries again")
        issuer.recover()
        await fetched(endpoint)
    assert [one["event"] for one in logs] == ["keys cannot be fetched", "keys fetched"]
    assert logs[0]["reason"] == "the response was HTTP 503"


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
        assert await find(endpoint, named("x")) is AUTH_UNAVAILABLE
        assert issuer.requests == 2
        assert isinstance(await find(endpoint, named("k1")), VerificationKey)


async def test_an_endpoint_that_is_not_there_or_does_not_answer_is_away(issuer: Issuer) -> None:
    issuer.port, port = 1, issuer.port
    with running(issuer, NO_RETRY) as endpoint:
        await eventually(lambda: endpoint._plan.has_failed, PATIENCE_SECONDS, "nobody is there")
    issuer.port = port
    issuer.hold()
    silent = KeyEndpoint(issuer.url, PUBLIC_ALGORITHMS, NO_RETRY, fetch_seconds=0.05)
    task = asyncio.create_task(silent.run())
    await eventually(lambda: silent._plan.has_failed, PATIENCE_SECONDS, "it is given up")
    await cancelled([task])
    issuer.let_go()


async def test_nobody_waits_for_an_endpoint_that_has_ended(issuer: Issuer) -> None:
    endpoint = KeyEndpoint(issuer.url, PUBLIC_ALGORITHMS, Pace(cooldown_seconds=0))
    task = asyncio.create_task(endpoint.run())
    await fetched(endpoint)
    issuer.hold()
    waiting = asyncio.create_task(find(endpoint, named("x")))
    await eventually(lambda: issuer.requests == 2, PATIENCE_SECONDS, "it asks")
    await cancelled([task])
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await waiting is AUTH_UNAVAILABLE
        assert await find(endpoint, named("x")) is AUTH_UNAVAILABLE
    issuer.let_go()
