"""A handshake's claim -> who the client is. Pure: what is presented in, an identity out."""

from __future__ import annotations

from service.admission import UNAUTHORIZED, Refusal, read_user_id
from service.events import UserId


def identify(auth: object, max_id_chars: int) -> UserId | Refusal:
    """Take the client's word for who it is, as the service before this one did."""
    if not isinstance(auth, dict):
        return UNAUTHORIZED
    return read_user_id(auth.get("userId"), max_id_chars)
