"""How a client is authenticated: by what it says, or by a token. What both are made of is pure."""

from __future__ import annotations

import time
from typing import Protocol

from constellation_ws.auth import identity as auth
from constellation_ws.auth import tokens
from constellation_ws.auth.identity import Headers, Identity
from constellation_ws.auth.jwt_keys import VerificationKey, choose
from constellation_ws.auth.tokens import UNKNOWN_KEY, Header, Rules, Verify
from constellation_ws.messages.admission import Refusal
from constellation_ws.messages.events import UserId


class Keys(Protocol):
    """Where the keys of tokens are."""

    async def verify(self, header: Header, token: str, verify: Verify) -> Identity | Refusal:
        """Verify a token with its key, or say why it cannot be verified."""


class FixedKey:
    """The one key that is configured."""

    def __init__(self, key: VerificationKey) -> None:
        self._keys = (key,)

    async def verify(self, header: Header, token: str, verify: Verify) -> Identity | Refusal:
        """Take the key for any token of its algorithms, whatever name the token has for it."""
        key = choose(self._keys, header.kid, header.algorithm)
        return UNKNOWN_KEY if key is None else verify(key)


class Trust:
    """Trusts what clients say: for networks that only trusted ones reach."""

    has_tokens = False

    def __init__(self, max_id_chars: int) -> None:
        self._max_id_chars = max_id_chars

    async def identify(self, presented: object, headers: Headers) -> Identity | Refusal:
        """Say who a client is."""
        return auth.identify(presented, self._max_id_chars)

    async def verify(self, token: object) -> Refusal:
        """Refuse every token."""
        return auth.NO_TOKENS


class Anyone:
    """Admits every client without a user."""

    has_tokens = False

    async def identify(self, claim: object, headers: Headers) -> Identity:
        """Say that a client is nobody in particular."""
        return Identity(UserId(""))

    async def verify(self, token: object) -> Refusal:
        """Refuse every token."""
        return auth.NO_TOKENS


class TokenVerifier:
    """Trusts tokens."""

    has_tokens = True

    def __init__(self, rules: Rules, keys: Keys, cookie: str | None) -> None:
        self._rules = rules
        self._keys = keys
        self._cookie = cookie

    async def identify(self, presented: object, headers: Headers) -> Identity | Refusal:
        """Say who a client is: whose token it presents."""
        identity = await self.verify(auth.find_token(presented, headers, self._cookie))
        if isinstance(identity, Refusal):
            return identity
        return auth.agree(identity, presented, self._rules.max_id_chars)

    async def verify(self, token: object) -> Identity | Refusal:
        """Say whose a token is; waits for one fetch of keys at most."""
        if token is None:
            return auth.NO_TOKEN
        if not isinstance(token, str):
            return tokens.MALFORMED
        header = tokens.read_header(token, self._rules)
        if isinstance(header, Refusal):
            return header
        return await self._keys.verify(
            header, token, lambda key: tokens.verify(token, key, self._rules, time.time())
        )
