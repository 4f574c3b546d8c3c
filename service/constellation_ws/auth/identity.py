"""What a handshake presents -> who the client is. Pure: values in, an identity or a refusal out.

Whether a token is genuine is decided in `tokens`; here is where it is looked for, and what it has
to agree with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from constellation_ws.messages.admission import UNAUTHORIZED, Refusal, read_user_id
from constellation_ws.messages.events import UserId

Headers = Iterable[tuple[bytes, bytes]]

NO_TOKEN = Refusal(
    "unauthorized", "Authentication is required: connect with { auth: { token: '<your token>' } }."
)
NO_TOKENS = Refusal("unauthorized", "This gateway does not use tokens.")
OTHER_USER = Refusal("unauthorized", "The token belongs to another user.")
AUTH_UNAVAILABLE = Refusal(
    "auth_unavailable",
    "Tokens cannot be verified at the moment: connect again later.",
    is_temporary=True,
)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a client is, and what its token says of it."""

    user: UserId
    chats: frozenset[str] | None = None
    """The chats that the token names; None where it names none, or where there is no token."""
    expires_at: float | None = None
    """Unix time from which on the token is worth nothing; None where there is no token."""
    claims: Mapping[str, Any] | None = None
    """Claims that backends are to have; None where none of them is in the token."""


def identify(auth: object, max_id_chars: int) -> Identity | Refusal:
    """Take the client's word for who it is, as the service before this one did."""
    if not isinstance(auth, dict):
        return UNAUTHORIZED
    user = read_user_id(auth.get("userId"), max_id_chars)
    return user if isinstance(user, Refusal) else Identity(user)


def find_token(auth: object, headers: Headers, cookie: str | None) -> object:
    """Find the token that a client presents, or None: in `auth`, a header, or the named cookie.

    The first of these that is there counts, whatever it holds. From `auth` it may be any value. An
    `auth` that is no object, such as a bare token, is a slip of the client: it must not connect as
    the owner of the cookie.
    """
    if not isinstance(auth, dict | None):
        return None
    token = auth.get("token") if isinstance(auth, dict) else None
    if token is not None:
        return token
    headers = list(headers)
    for name, value in headers:
        scheme, _, credentials = value.partition(b" ")
        if name == b"authorization" and scheme.lower() == b"bearer":
            return credentials.strip().decode("latin-1")
    values = set(_cookies(headers, cookie.encode())) if cookie else set()
    # A sibling domain may have put one beside ours: they cannot be told apart.
    return values.pop().decode("latin-1") if len(values) == 1 else None


def proof_in(headers: Headers, cookie: str | None) -> tuple[tuple[bytes, bytes], ...]:
    """Pick from a request's headers what `find_token` may need, and no more: it is kept."""
    headers = list(headers)
    kept = [(name, value) for name, value in headers if name == b"authorization"]
    if cookie:
        name = cookie.encode()
        kept += [(b"cookie", name + b"=" + value) for value in _cookies(headers, name)]
    return tuple(kept)


def agree(identity: Identity, auth: object, max_id_chars: int) -> Identity | Refusal:
    """Refuse a token that is not of the user whom the client names, where it names one."""
    claimed = auth.get("userId") if isinstance(auth, dict) else None
    if claimed is None or read_user_id(claimed, max_id_chars) == identity.user:
        return identity
    return OTHER_USER


def renewed(user: UserId | None, identity: Identity | Refusal) -> Identity | Refusal:
    """Refuse a token for the connection of another user than its own."""
    if isinstance(identity, Identity) and identity.user != user:
        return OTHER_USER
    return identity


def _cookies(headers: Headers, wanted: bytes) -> Iterator[bytes]:
    for header, value in headers:
        if header != b"cookie":
            continue
        for pair in value.split(b";"):
            name, equals, content = pair.strip().partition(b"=")
            if equals and name == wanted:
                yield content.strip(b'"')
