"""What a handshake presents -> who the client is. Pure: values in, an identity or a refusal out."""

from __future__ import annotations

from dataclasses import dataclass

from service.admission import UNAUTHORIZED, Refusal, read_user_id
from service.events import UserId


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a client is, and what its token says of it."""

    user: UserId
    chats: frozenset[str] | None = None
    """The chats that the token names; None where it names none, or where there is no token."""
    expires_at: float | None = None
    """Unix time from which on the token is worth nothing; None where there is no token."""


def identify(auth: object, max_id_chars: int) -> Identity | Refusal:
    """Take the client's word for who it is, as the service before this one did."""
    if not isinstance(auth, dict):
        return UNAUTHORIZED
    user = read_user_id(auth.get("userId"), max_id_chars)
    return user if isinstance(user, Refusal) else Identity(user)
