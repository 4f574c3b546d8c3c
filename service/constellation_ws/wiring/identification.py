"""How the clients of a process are authenticated, as the settings say."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from constellation_ws.auth.authentication import FixedKey, TokenVerifier, Trust
from constellation_ws.auth.identity import Headers, proof_in
from constellation_ws.auth.key_endpoint import KeyEndpoint
from constellation_ws.auth.tokens import Rules
from constellation_ws.observability.probes import HealthCheck
from constellation_ws.settings.identity import IdentitySettings
from constellation_ws.settings.settings import Settings
from constellation_ws.wiring.resuming import Parts

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Identification:
    """How clients are authenticated, and what that requires."""

    authentication: Trust | TokenVerifier
    kept_headers: Callable[[Headers], Headers]
    """Picks what a connect needs of a handshake's headers; as little as can be, for it is kept."""
    running: Mapping[str, Callable[[], Coroutine[Any, Any, None]]] = field(default_factory=dict)
    """What fetches keys."""
    checks: tuple[Callable[[], HealthCheck], ...] = ()
    """Whether there are keys."""

    def parts(self) -> Parts:
        """Give what has to run."""
        return {name: run() for name, run in self.running.items()}

    def readiness(self) -> list[Callable[[], HealthCheck]]:
        """Give what readiness looks at."""
        return list(self.checks)


def identification(
    settings: Settings,
    also_kept: frozenset[bytes] = frozenset(),
    kept_claims: frozenset[str] = frozenset(),
) -> Identification:
    """Make what the settings ask for; headers and claims of some names are kept for others."""
    tokens, cookie = settings.identity, settings.identity.jwt_cookie
    with_proof = tokens.auth_mode == "jwt"
    keep = functools.partial(_keep, with_proof=with_proof, cookie=cookie, names=also_kept)
    if tokens.auth_mode == "trusted":
        return Identification(Trust(settings.limits.max_id_chars), keep)
    rules = _rules(tokens, settings.limits.max_id_chars, kept_claims)
    if tokens.jwt_jwks_url is not None:
        endpoint = KeyEndpoint(tokens.jwt_jwks_url, rules.algorithms)
        verifier = TokenVerifier(rules, endpoint, cookie)
        check = functools.partial(_check_keys, endpoint)
        return Identification(verifier, keep, {"keys": endpoint.run}, (check,))
    key = tokens.verification_key()
    assert key is not None, "checked with the settings"
    return Identification(TokenVerifier(rules, FixedKey(key), cookie), keep)


def _rules(tokens: IdentitySettings, max_id_chars: int, kept_claims: frozenset[str]) -> Rules:
    return Rules(
        frozenset(tokens.allowed_algorithms()),
        tokens.jwt_issuer,
        tokens.jwt_audience,
        tokens.jwt_leeway_seconds,
        tokens.jwt_user_claim,
        tokens.jwt_chats_claim,
        max_id_chars,
        kept_claims,
    )


def _check_keys(endpoint: KeyEndpoint) -> HealthCheck:
    has_keys = endpoint.has_fetched
    return HealthCheck("keys", has_keys, "fetched" if has_keys else "not fetched yet")


def _keep(
    headers: Headers, *, with_proof: bool, cookie: str | None, names: frozenset[bytes]
) -> Headers:
    headers = list(headers)
    proof = proof_in(headers, cookie) if with_proof else ()
    return (*proof, *(header for header in headers if header[0] in names))


def warn_of_trust(settings: Settings) -> None:
    """Warn where others than this machine reach the port, as they do not with `dev` and `demo`."""
    if settings.identity.auth_mode == "trusted" and not _is_local(settings.listening.ws_host):
        logger.warning(
            "clients are not authenticated: they can claim any user id",
            auth_mode="trusted",
            remedy="set CONSTELLATION_AUTH_MODE=jwt, or restrict the port to trusted clients",
        )


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
