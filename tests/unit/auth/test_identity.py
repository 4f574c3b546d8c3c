"""What a handshake presents -> who the client is."""

from __future__ import annotations

import pytest

from constellation_ws.auth.identity import (
    AUTH_UNAVAILABLE,
    OTHER_USER,
    Identity,
    agree,
    find_token,
    identify,
    proof_in,
    renewed,
)
from constellation_ws.messages.admission import UNAUTHORIZED, Refusal
from constellation_ws.messages.events import UserId


@pytest.mark.parametrize(
    ("auth", "user"),
    [
        ({"userId": "u1"}, "u1"),
        ({"userId": 42}, "42"),
        ({"userId": "u1", "token": "x", "recovery": True}, "u1"),
    ],
)
def test_a_client_is_who_it_says_it_is(auth: object, user: str) -> None:
    assert identify(auth, max_id_chars=8) == Identity(UserId(user))


@pytest.mark.parametrize(
    "auth", [None, {}, {"userId": None}, {"user": "u1"}, [], ["u1"], "u1", 42, True]
)
def test_who_does_not_say_who_it_is_is_unauthorized(auth: object) -> None:
    assert identify(auth, max_id_chars=8) is UNAUTHORIZED


@pytest.mark.parametrize("user", ["", "x" * 9, True, 1.5, {"id": 1}, ["u1"], "a\nb"])
def test_a_user_id_that_cannot_be_one_is_invalid(user: object) -> None:
    refusal = identify({"userId": user}, max_id_chars=8)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "invalid_user"


BEARER = (b"authorization", b"Bearer from-header")
COOKIE = (b"cookie", b"a=1; token=from-cookie; b=2")


@pytest.mark.parametrize(
    ("auth", "headers", "token"),
    [
        ({"token": "from-auth"}, [BEARER, COOKIE], "from-auth"),
        ({"token": ""}, [BEARER, COOKIE], ""),
        ({"token": ["x"]}, [BEARER], ["x"]),
        ({"token": None}, [COOKIE, BEARER], "from-header"),
        ({}, [COOKIE], "from-cookie"),
        (None, [COOKIE], "from-cookie"),
        ("from-auth", [], None),
        ("from-auth", [BEARER, COOKIE], None),
        (["from-auth"], [COOKIE], None),
        ({}, [(b"authorization", b"bEARER  x ")], "x"),
        ({}, [(b"authorization", b"Basic eDp5"), COOKIE], "from-cookie"),
        ({}, [(b"authorization", b"Bearer")], ""),
        ({}, [(b"cookie", b'token="quoted"')], "quoted"),
        ({}, [(b"cookie", b"Token=x; xtoken=y; token")], None),
        ({}, [(b"cookie", b"token=a; token=a")], "a"),
        ({}, [(b"cookie", b"token=a; token=b")], None),
        ({}, [(b"cookie", b"token=a"), (b"cookie", b"token=b")], None),
        ({}, [(b"cookie", b"token=\xff")], "\xff"),
        ({}, [(b"x-cookie", b"token=a")], None),
        ({}, [(b"accept", b"token=a")], None),
        ({}, [(b"accept", b"Bearer x"), (b"x-authorization", b"Bearer x"), COOKIE], "from-cookie"),
        ({}, [(b"authorization", b"Digest x"), COOKIE], "from-cookie"),
    ],
)
def test_a_token_is_looked_for_in_auth_then_in_a_header_then_in_the_cookie(
    auth: object, headers: list[tuple[bytes, bytes]], token: object
) -> None:
    assert find_token(auth, headers, "token") == token


def test_no_cookie_counts_unless_one_is_named() -> None:
    assert find_token({}, [COOKIE], None) is None


def test_of_the_headers_only_what_may_be_proof_is_kept() -> None:
    large = (b"cookie", b"a=1; token=x; " + b"b" * 5_000)
    headers = [(b"accept", b"a"), (b"host", b"a"), BEARER, large]
    assert proof_in(headers, "token") == (BEARER, (b"cookie", b"token=x"))
    assert proof_in(headers, None) == (BEARER,)
    for auth in ({}, {"token": "t"}):
        assert find_token(auth, proof_in(headers, "token"), "token") == find_token(
            auth, headers, "token"
        )


@pytest.mark.parametrize("claimed", [None, 42, "42"])
def test_a_claim_that_agrees_with_the_token_changes_nothing(claimed: object) -> None:
    identity = Identity(UserId("42"), frozenset("a"), 1.0)
    assert agree(identity, {"userId": claimed}, 8) is identity
    assert agree(identity, None, 8) is identity


@pytest.mark.parametrize("claimed", ["43", "", True, ["42"], "x" * 9, 42.5])
def test_a_claim_that_does_not_agree_with_the_token_is_refused(claimed: object) -> None:
    assert agree(Identity(UserId("42")), {"userId": claimed}, 8) is OTHER_USER


def test_only_a_token_of_the_same_user_renews() -> None:
    identity = Identity(UserId("u1"), None, 5.0)
    assert renewed(UserId("u1"), identity) is identity
    for user in ("u2", "u0"):
        assert renewed(UserId(user), identity) is OTHER_USER
    assert renewed(UserId("u1"), AUTH_UNAVAILABLE) is AUTH_UNAVAILABLE


def test_only_what_no_client_can_change_is_temporary() -> None:
    assert AUTH_UNAVAILABLE.is_temporary
    assert not OTHER_USER.is_temporary
