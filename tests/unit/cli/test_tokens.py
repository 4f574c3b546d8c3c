"""Tokens for trying: the gateway of the same settings accepts them."""

from __future__ import annotations

from typing import Any

import jwt
import pytest
from pydantic import SecretStr

from constellation_ws.auth.identity import Identity
from constellation_ws.auth.jwt_keys import VerificationKey
from constellation_ws.auth.tokens import TOKEN_EXPIRED, Rules, verify
from constellation_ws.cli.tokens import InvalidClaim, NoSecret, auth_of, read_claims, sign
from constellation_ws.settings.identity import IdentitySettings
from tests.tokens import SECRET

WITH_SECRET = {"auth_mode": "jwt", "jwt_secret": SecretStr(SECRET)}


def settings(**fields: object) -> IdentitySettings:
    return IdentitySettings.model_construct(**fields)  # type: ignore[arg-type]


def test_a_token_has_what_the_settings_require() -> None:
    values = settings(
        **WITH_SECRET,
        jwt_issuer="me",
        jwt_audience="ws",
        jwt_user_claim="uid",
        jwt_algorithms=("HS384",),
    )
    token = sign(values, "bob", 100.0, 60, ["c1"], {"role": "admin"})

    options: Any = {"verify_exp": False, "verify_iat": False}
    claims = jwt.decode(token, SECRET, ["HS384"], options=options, audience="ws")
    assert claims == {
        "uid": "bob",
        "iat": 100,
        "exp": 160,
        "iss": "me",
        "aud": "ws",
        "chats": ["c1"],
        "role": "admin",
    }


def test_the_gateway_accepts_it() -> None:
    rules = Rules(frozenset({"HS256"}), None, None, 5, "sub", "chats", 100)
    token = sign(settings(**WITH_SECRET), "bob", 100.0, 60, ["c1"])
    key = VerificationKey(SECRET.encode(), rules.algorithms)

    identity = verify(token, key, rules, 150.0)

    assert isinstance(identity, Identity)
    assert (identity.user, identity.chats) == ("bob", {"c1"})
    assert verify(token, key, rules, 200.0) == TOKEN_EXPIRED


def test_without_a_secret_there_is_no_token() -> None:
    with pytest.raises(NoSecret, match="trusted"):
        sign(settings(), "bob", 0, 60)
    with pytest.raises(NoSecret, match="CONSTELLATION_JWT_SECRET is not set"):
        sign(settings(auth_mode="jwt"), "bob", 0, 60)


def test_claims_are_json_or_text() -> None:
    assert read_claims(["a=1", "b=x y", 'c=["d"]', "e="]) == {
        "a": 1,
        "b": "x y",
        "c": ["d"],
        "e": "",
    }
    for text in ("a", "=1"):
        with pytest.raises(InvalidClaim, match="role=admin"):
            read_claims([text])


def test_a_client_shows_a_token_where_one_is_required() -> None:
    assert auth_of(settings(), "bob", 0) == {"userId": "bob", "recovery": True}
    assert auth_of(settings(**WITH_SECRET), "bob", 0)["token"]
