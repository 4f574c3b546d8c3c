"""Which tokens are believed, and why the others are not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.auth import tokens
from constellation_ws.auth.identity import Identity
from constellation_ws.auth.jwt_keys import VerificationKey, algorithms_of, read_public_key
from constellation_ws.auth.tokens import Header, Rules, read_header, verify
from constellation_ws.messages.admission import Refusal
from constellation_ws.messages.events import UserId
from tests.fuzz.jwt_invariants import check_bytes, check_parts
from tests.tokens import SECRET, key_pair, signed, unsigned

NOW = 1_800_000_000.0
GOOD: dict[str, Any] = {"sub": "u1", "exp": NOW + 60}
HMAC = frozenset(["HS256", "HS384", "HS512"])
SECRET_KEY = VerificationKey(SECRET.encode(), HMAC)


def rules(**changes: Any) -> Rules:
    values: dict[str, Any] = {
        "algorithms": HMAC,
        "issuer": None,
        "audience": None,
        "leeway_seconds": 5,
        "user_claim": "sub",
        "chats_claim": "chats",
        "max_id_chars": 8,
    }
    return Rules(**(values | changes))


def judged(claims: dict[str, Any], now: float = NOW, **changes: Any) -> Identity | Refusal:
    return verify(signed(claims), SECRET_KEY, rules(**changes), now)


def test_a_good_token_says_who_its_bearer_is_and_until_when() -> None:
    assert judged(GOOD) == Identity(UserId("u1"), None, NOW + 65)


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_every_algorithm_with_a_secret_is_known(algorithm: str) -> None:
    token = signed(GOOD, algorithm=algorithm)
    assert read_header(token, rules()) == Header(algorithm, None)
    assert isinstance(verify(token, SECRET_KEY, rules(), NOW), Identity)


def test_a_secret_that_is_too_short_verifies_nothing() -> None:
    key = VerificationKey(b"short", HMAC)
    token = _hmac_signed(GOOD, key.material)
    assert verify(token, key, rules(), NOW) is tokens.MALFORMED


@pytest.mark.parametrize("chars", [8_193, 20_000])
def test_a_token_that_is_too_long_is_not_looked_at(chars: int) -> None:
    token = signed(GOOD | {"x": "x" * chars})
    assert len(token) > chars
    assert read_header(token, rules()) is tokens.MALFORMED


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "ES384", "ES512", "EdDSA"])
def test_every_algorithm_with_a_public_key_is_known(algorithm: str) -> None:
    pair = key_pair(algorithm)
    public = read_public_key(pair.pem)
    key = VerificationKey(public, frozenset(algorithms_of(public)))
    asked = rules(algorithms=frozenset([algorithm]))
    token = pair.sign(GOOD, kid="k1")
    assert read_header(token, asked) == Header(algorithm, "k1")
    assert isinstance(verify(token, key, asked, NOW), Identity)
    forged = key_pair(algorithm, "another").sign(GOOD)
    assert verify(forged, key, asked, NOW) is tokens.FORGED


@pytest.mark.parametrize(
    ("claims", "changes", "refusal"),
    [
        ({"exp": NOW - 5}, {}, tokens.TOKEN_EXPIRED),
        ({"exp": NOW - 3_600}, {}, tokens.TOKEN_EXPIRED),
        ({"exp": 0}, {}, tokens.TOKEN_EXPIRED),
        ({"exp": -1}, {}, tokens.NO_EXPIRY),
        ({"exp": NOW}, {"leeway_seconds": 0}, tokens.TOKEN_EXPIRED),
        ({"exp": None}, {}, tokens.NO_EXPIRY),
        ({"exp": "1900000000"}, {}, tokens.NO_EXPIRY),
        ({"exp": True}, {}, tokens.NO_EXPIRY),
        ({"exp": float("nan")}, {}, tokens.NO_EXPIRY),
        ({"exp": float("inf")}, {}, tokens.NO_EXPIRY),
        ({"exp": 10**400}, {}, tokens.NO_EXPIRY),
        ({"exp": [NOW + 60]}, {}, tokens.NO_EXPIRY),
        ({"nbf": NOW + 6}, {}, tokens.NOT_YET),
        ({"nbf": "soon"}, {}, tokens.NOT_YET),
        ({"sub": None}, {}, tokens.NO_USER),
        ({}, {"user_claim": "id"}, tokens.NO_USER),
        ({"aud": "shop"}, {}, tokens.WRONG_AUDIENCE),
        ({}, {"audience": "chat"}, tokens.WRONG_AUDIENCE),
        ({"aud": "shop"}, {"audience": "chat"}, tokens.WRONG_AUDIENCE),
        ({"aud": ["shop", 1]}, {"audience": "chat"}, tokens.WRONG_AUDIENCE),
        ({}, {"issuer": "api"}, tokens.WRONG_ISSUER),
        ({"iss": "mallory"}, {"issuer": "api"}, tokens.WRONG_ISSUER),
    ],
)
def test_a_token_that_is_not_meant_for_here_and_now_is_refused_with_the_reason(
    claims: dict[str, Any], changes: dict[str, Any], refusal: Refusal
) -> None:
    assert judged(GOOD | claims, **changes) is refusal


@pytest.mark.parametrize(
    ("claims", "changes"),
    [
        ({"exp": NOW - 4.9}, {}),
        ({"nbf": NOW + 5}, {}),
        ({"iat": NOW + 3_600}, {}),
        ({"aud": ["shop", "chat"]}, {"audience": "chat"}),
        ({"iss": "api"}, {"issuer": "api"}),
        ({"iss": "anybody", "jti": 5}, {}),
    ],
)
def test_a_token_that_is_meant_for_here_and_now_is_taken(
    claims: dict[str, Any], changes: dict[str, Any]
) -> None:
    assert isinstance(judged(GOOD | claims, **changes), Identity)


@pytest.mark.parametrize(("value", "user"), [("u1", "u1"), (42, "42"), (10**7, "10000000")])
def test_the_user_s_claim_is_configurable_and_may_hold_a_number(value: object, user: str) -> None:
    identity = judged({"id": value, "exp": NOW + 60}, user_claim="id")
    assert isinstance(identity, Identity)
    assert identity.user == user


@pytest.mark.parametrize("value", ["", "x" * 9, True, 1.5, ["u1"], {"id": 1}, "a\nb", "\ud800"])
def test_a_claim_that_cannot_be_a_user_s_id_is_an_invalid_user(value: object) -> None:
    refusal = judged(GOOD | {"sub": value})
    assert isinstance(refusal, Refusal)
    assert refusal.code == "invalid_user"


@pytest.mark.parametrize(
    ("claims", "chats"),
    [
        ({}, None),
        ({"chats": []}, []),
        ({"chats": ["a", 7, "a"]}, ["a", "7"]),
        ({"chats": ["a", True, None, 1.5, ["b"], {}]}, ["a"]),
        ({"chats": "all"}, []),
        ({"chats": {"a": 1}}, []),
        ({"chats": None}, []),
    ],
)
def test_the_chats_of_a_token_are_ids_as_text_and_other_forms_name_none(
    claims: dict[str, Any], chats: list[str] | None
) -> None:
    identity = judged(GOOD | claims)
    assert isinstance(identity, Identity)
    assert identity.chats == (None if chats is None else frozenset(chats))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", "HS257", "RS256", "ES256K"])
def test_an_algorithm_that_is_not_taken_is_refused_before_any_key_is_looked_for(
    algorithm: str,
) -> None:
    assert read_header(unsigned(GOOD, algorithm), rules()) is tokens.FORBIDDEN_ALGORITHM


def test_none_is_refused_even_where_it_gets_past_the_header() -> None:
    assert verify(unsigned(GOOD), SECRET_KEY, rules(), NOW) is tokens.FORBIDDEN_ALGORITHM


def test_a_public_key_cannot_be_taken_for_the_secret_of_an_hmac() -> None:
    pem = key_pair("RS256").pem
    key = VerificationKey(read_public_key(pem), frozenset(["RS256"]))
    asked = rules(algorithms=frozenset(["RS256"]))
    confused = _hmac_signed(GOOD, pem.encode())
    assert read_header(confused, asked) is tokens.FORBIDDEN_ALGORITHM
    assert verify(confused, key, asked, NOW) is tokens.FORBIDDEN_ALGORITHM


def test_another_secret_signs_nothing() -> None:
    other = signed(GOOD, SECRET.upper())
    assert verify(other, SECRET_KEY, rules(), NOW) is tokens.FORGED


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "a.b.c", "e30.e30.", "not a token", "\ud800.a.b", "Привет", "a" * 8_193,
     "." * 8_192, signed(GOOD).rpartition(".")[0]],
    ids=lambda token: token[:12].encode("unicode_escape").decode(),
)  # fmt: skip
def test_what_is_no_token_is_no_token(token: str) -> None:
    refusal = read_header(token, rules())
    assert isinstance(refusal, Refusal)
    assert refusal.code == "token_invalid"


@pytest.mark.parametrize("payload", [b"[]", b"null", b"{", b"[" * 6_000, b"\xff", b"9" * 5_000])
def test_a_signed_payload_that_is_no_object_is_no_token(payload: bytes) -> None:
    token = _hmac_signed(payload, SECRET.encode())
    assert verify(token, SECRET_KEY, rules(), NOW) is tokens.MALFORMED


@given(st.binary(max_size=400))
def test_no_bytes_get_in_or_out_another_way_than_by_a_refusal(data: bytes) -> None:
    check_bytes(data)


@given(st.binary(max_size=60), st.binary(max_size=200), st.binary(max_size=80))
def test_no_signed_claims_raise_anything(header: bytes, payload: bytes, signature: bytes) -> None:
    check_parts(header, payload, signature)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["exp", "nbf", "iat", "sub", "aud", "iss", "chats"]), JSON))
def test_no_claims_of_any_kind_raise_anything(claims: dict[str, Any]) -> None:
    check_parts(b'{"alg":"HS256"}', json.dumps(claims).encode(), b"")


def _hmac_signed(claims: dict[str, Any] | bytes, secret: bytes) -> str:
    """Sign with HS256 what PyJWT would not."""
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    head = b".".join(map(_base64, (b'{"alg":"HS256","typ":"JWT"}', payload)))
    return (head + b"." + _base64(hmac.digest(secret, head, hashlib.sha256))).decode()


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
