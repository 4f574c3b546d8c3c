"""`token`: a token as the issuer would sign it, from the configured secret, to try things with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import jwt

from constellation_ws.settings.identity import IdentitySettings

_DAY_SECONDS = 86_400.0


class NoSecret(ValueError):
    """The settings have no secret that signs tokens; `str()` is a sentence."""


class InvalidClaim(ValueError):
    """A claim is not `name=JSON`; `str()` is a sentence."""


def read_claims(texts: Sequence[str]) -> dict[str, Any]:
    """Read further claims; a value that is not JSON is text. Raises InvalidClaim."""
    claims: dict[str, Any] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise InvalidClaim(f"{text} is not a claim, such as role=admin.")
        try:
            claims[name] = json.loads(value)
        except ValueError:
            claims[name] = value
    return claims


def sign(
    settings: IdentitySettings,
    user: str,
    now_seconds: float,
    seconds: float,
    chats: Sequence[str] | None = None,
    claims: Mapping[str, Any] | None = None,
) -> str:
    """Sign a token that the configured gateway accepts for this user. Raises NoSecret.

    `claims` are added to those that the settings ask for, and replace them.
    """
    if settings.auth_mode != "jwt":
        raise NoSecret("CONSTELLATION_AUTH_MODE is trusted: clients need no token.")
    if settings.jwt_secret is None:
        raise NoSecret(
            "CONSTELLATION_JWT_SECRET is not set: only a secret signs as well as it verifies. "
            "Get a token from your issuer."
        )
    body: dict[str, Any] = {
        settings.jwt_user_claim: user,
        "iat": int(now_seconds),
        "exp": int(now_seconds + seconds),
    }
    if settings.jwt_issuer is not None:
        body["iss"] = settings.jwt_issuer
    if settings.jwt_audience is not None:
        body["aud"] = settings.jwt_audience
    if chats is not None:
        body[settings.jwt_chats_claim] = list(chats)
    algorithm, *_ = settings.allowed_algorithms()
    secret = settings.jwt_secret.get_secret_value()
    return jwt.encode({**body, **(claims or {})}, secret, algorithm)


def auth_of(settings: IdentitySettings, user: str, now_seconds: float) -> Mapping[str, Any]:
    """Give what a client of this user connects with, with a token for a day. Raises NoSecret."""
    auth = {"userId": user, "recovery": True}
    if settings.auth_mode != "jwt":
        return auth
    return {**auth, "token": sign(settings, user, now_seconds, _DAY_SECONDS)}
