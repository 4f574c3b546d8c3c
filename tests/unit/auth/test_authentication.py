"""Word or token -> who a client is; where the token may be, and what it has to agree with."""

from __future__ import annotations

import time

import pytest

from constellation_ws.auth import tokens
from constellation_ws.auth.authentication import FixedKey, TokenVerifier, Trust
from constellation_ws.auth.identity import AUTH_UNAVAILABLE, NO_TOKEN, OTHER_USER, Identity
from constellation_ws.auth.jwt_keys import VerificationKey
from constellation_ws.auth.tokens import UNKNOWN_KEY, Header, Rules, Verify
from constellation_ws.messages.admission import UNAUTHORIZED, Refusal
from constellation_ws.messages.events import UserId
from tests.tokens import SECRET, key_pair, token_of, unsigned

RULES = Rules(frozenset(["HS256"]), None, None, 0, "sub", "chats", 8)
KEY = FixedKey(VerificationKey(SECRET.encode(), RULES.algorithms))
PROOF = TokenVerifier(RULES, KEY, "token")


class NoKeys:
    """An issuer that is away."""

    async def verify(self, header: Header, token: str, verify: Verify) -> Refusal:
        return AUTH_UNAVAILABLE


async def test_trust_takes_the_client_s_word_and_looks_at_nothing_else() -> None:
    trust = Trust(max_id_chars=8)
    bearer = [(b"authorization", f"Bearer {token_of('u2')}".encode())]
    assert await trust.identify({"userId": "u1"}, bearer) == Identity(UserId("u1"))
    assert await trust.identify({"token": token_of("u1")}, bearer) is UNAUTHORIZED


async def test_a_token_is_proof_wherever_it_is() -> None:
    token = token_of("u1")
    for claim, headers in (
        ({"token": token}, []),
        (None, [(b"authorization", b"Bearer " + token.encode())]),
        ({}, [(b"cookie", b"a=b; token=" + token.encode())]),
    ):
        identity = await PROOF.identify(claim, headers)
        assert isinstance(identity, Identity)
        assert identity.user == "u1"
        assert identity.expires_at is not None
        assert identity.expires_at > time.time()


@pytest.mark.parametrize(
    ("claim", "refusal"),
    [
        (None, NO_TOKEN),
        ({"userId": "u1"}, NO_TOKEN),
        ({"token": 5}, tokens.MALFORMED),
        ({"token": "x"}, tokens.MALFORMED),
        ({"token": token_of("u1", -1)}, tokens.TOKEN_EXPIRED),
        ({"token": token_of("u1"), "userId": "u2"}, OTHER_USER),
        ({"token": unsigned({"sub": "u1"})}, tokens.FORBIDDEN_ALGORITHM),
    ],
)
async def test_everything_else_is_refused(claim: object, refusal: Refusal) -> None:
    assert await PROOF.identify(claim, []) is refusal


async def test_the_one_key_is_taken_whatever_a_token_calls_it() -> None:
    pair = key_pair("ES256")
    key = FixedKey(VerificationKey(pair.private.public_key(), frozenset(["ES256"])))
    bob = Identity(UserId("bob"))
    assert await key.verify(Header("ES256", "any"), "", lambda found: bob) is bob
    assert await key.verify(Header("ES384", None), "", lambda found: bob) is UNKNOWN_KEY


async def test_where_no_key_can_be_had_a_token_is_not_judged() -> None:
    proof = TokenVerifier(RULES, NoKeys(), None)
    assert await proof.verify(token_of("u1")) is AUTH_UNAVAILABLE
    assert await proof.verify("x") is tokens.MALFORMED
