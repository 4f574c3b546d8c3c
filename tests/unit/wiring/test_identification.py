"""Which way of proving who one is the settings ask for, and when trust is warned of."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from constellation_ws.auth.authentication import TokenVerifier
from constellation_ws.auth.identity import NO_TOKENS, Identity
from constellation_ws.wiring.identification import Identification, identification, warn_of_trust
from tests.tokens import SECRET, key_pair, token_of
from tests.unit.settings.test_settings import read

BY_SECRET = {"CONSTELLATION_AUTH_MODE": "jwt", "CONSTELLATION_JWT_SECRET": SECRET}


def made(**variables: str) -> Identification:
    return identification(read(**variables))


async def test_without_a_word_about_it_clients_are_trusted() -> None:
    trust = made()
    assert isinstance(await trust.authentication.identify({"userId": "u1"}, []), Identity)
    assert not trust.authentication.has_tokens
    assert await trust.authentication.verify(token_of("u1")) is NO_TOKENS
    assert trust.parts() == {}
    assert list(trust.kept_headers([(b"authorization", b"Bearer x"), (b"cookie", b"a=b")])) == []
    assert trust.readiness() == []


async def test_with_a_secret_tokens_are_asked_for() -> None:
    proof = made(**BY_SECRET)
    assert isinstance(await proof.authentication.identify({"token": token_of("u1")}, []), Identity)
    assert not isinstance(await proof.authentication.identify({"userId": "u1"}, []), Identity)
    assert proof.authentication.has_tokens
    assert isinstance(await proof.authentication.verify(token_of("u1")), Identity)
    assert proof.readiness() == []


async def test_every_setting_reaches_the_rules() -> None:
    proof = made(
        **BY_SECRET,
        CONSTELLATION_JWT_ALGORITHMS="HS384,HS512",
        CONSTELLATION_JWT_ISSUER="api",
        CONSTELLATION_JWT_AUDIENCE="chat",
        CONSTELLATION_JWT_LEEWAY_SECONDS="60",
        CONSTELLATION_JWT_USER_CLAIM="id",
        CONSTELLATION_JWT_CHATS_CLAIM="rooms",
        CONSTELLATION_MAX_ID_CHARS="4",
    )
    assert isinstance(proof.authentication, TokenVerifier)
    rules = proof.authentication._rules
    assert rules.algorithms == {"HS384", "HS512"}
    assert (rules.issuer, rules.audience, rules.leeway_seconds) == ("api", "chat", 60)
    assert (rules.user_claim, rules.chats_claim, rules.max_id_chars) == ("id", "rooms", 4)


async def test_with_a_public_key_the_issuer_alone_can_sign() -> None:
    pair = key_pair("EdDSA")
    proof = made(CONSTELLATION_AUTH_MODE="jwt", CONSTELLATION_JWT_PUBLIC_KEY=pair.pem)
    assert isinstance(
        await proof.authentication.identify({"token": pair.sign({"sub": "u1", "exp": 2e9})}, []),
        Identity,
    )
    assert not isinstance(
        await proof.authentication.identify({"token": token_of("u1")}, []), Identity
    )


async def test_keys_that_are_fetched_are_named_by_readiness_until_they_are_there() -> None:
    proof = made(CONSTELLATION_AUTH_MODE="jwt", CONSTELLATION_JWT_JWKS_URL="http://127.0.0.1:1/")
    (check,) = proof.readiness()
    assert (check().name, check().ok) == ("keys", False)
    ((name, fetching),) = proof.parts().items()
    fetching.close()
    assert name == "keys"


async def test_of_the_headers_proof_alone_is_kept() -> None:
    headers = [(b"authorization", b"Bearer x"), (b"cookie", b"t=1; u=2"), (b"host", b"a")]
    traced = identification(read(), also_kept=frozenset([b"host"]))
    assert traced.kept_headers(headers) == (headers[2],)
    assert made(**BY_SECRET).kept_headers(headers) == (headers[0],)
    cookies = {"CONSTELLATION_JWT_COOKIE": "t", "CONSTELLATION_CORS_ORIGINS": "https://a"}
    assert made(**BY_SECRET, **cookies).kept_headers(headers) == (headers[0], (b"cookie", b"t=1"))


@pytest.mark.parametrize(
    ("variables", "warnings"),
    [
        ({}, 1),
        ({"CONSTELLATION_WS_HOST": "::"}, 1),
        ({"CONSTELLATION_WS_HOST": "gateway.example.com"}, 1),
        ({"CONSTELLATION_WS_HOST": "127.0.0.1"}, 0),
        ({"CONSTELLATION_WS_HOST": "::1"}, 0),
        ({"CONSTELLATION_WS_HOST": "localhost"}, 0),
        (BY_SECRET, 0),
    ],
)
def test_trust_is_warned_of_where_others_than_this_machine_reach_the_port(
    variables: dict[str, str], warnings: int
) -> None:
    with capture_logs() as logs:
        warn_of_trust(read(**variables))
    assert [one["log_level"] for one in logs] == ["warning"] * warnings
