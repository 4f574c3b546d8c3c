"""Which way of proving who one is a process takes: made from the settings."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from constellation_ws.auth.authentication import FixedKey, Proof, Trust
from constellation_ws.auth.identity import Headers, Identity, proof_in
from constellation_ws.auth.key_endpoint import KeyEndpoint
from constellation_ws.auth.tokens import Rules
from constellation_ws.messages.admission import Refusal
from constellation_ws.observability.probes import Check
from constellation_ws.settings.settings import Settings

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Identification:
    """How clients prove who they are."""

    identify: Callable[[object, Headers], Awaitable[Identity | Refusal]]
    verify: Callable[[object], Awaitable[Identity | Refusal]] | None
    """Verifies a token alone; None where there are none."""
    kept_headers: Callable[[Headers], Headers]
    """Picks what a connect needs of a handshake's headers; as little as can be, for it is kept."""
    endpoint: KeyEndpoint | None
    """Where keys are fetched; somebody must run it."""

    def check(self) -> Check:
        """Say whether tokens can be verified by now."""
        has_keys = self.endpoint is None or self.endpoint.has_fetched
        return Check("keys", has_keys, "fetched" if has_keys else "not fetched yet")


def identification(settings: Settings, also_kept: frozenset[bytes] = frozenset()) -> Identification:
    """Make what the settings ask for; the headers of some names are kept for others."""
    keep = functools.partial(
        _keep, with_proof=settings.auth_mode == "jwt", cookie=settings.jwt_cookie, names=also_kept
    )
    if settings.auth_mode == "trusted":
        return Identification(Trust(settings.max_id_chars).identify, None, keep, None)
    algorithms = frozenset(settings.allowed_algorithms())
    rules = Rules(
        algorithms,
        settings.jwt_issuer,
        settings.jwt_audience,
        settings.jwt_leeway_seconds,
        settings.jwt_user_claim,
        settings.jwt_chats_claim,
        settings.max_id_chars,
    )
    key, url = settings.verification_key(), settings.jwt_jwks_url
    endpoint = KeyEndpoint(url, algorithms) if url is not None else None
    keys = endpoint or (FixedKey(key) if key is not None else None)
    assert keys is not None, "checked with the settings"
    proof = Proof(rules, keys, settings.jwt_cookie)
    return Identification(proof.identify, proof.verify, keep, endpoint)


def _keep(
    headers: Headers, *, with_proof: bool, cookie: str | None, names: frozenset[bytes]
) -> Headers:
    headers = list(headers)
    proof = proof_in(headers, cookie) if with_proof else ()
    return (*proof, *(header for header in headers if header[0] in names))


def warn_of_trust(settings: Settings) -> None:
    """Warn where others than this machine reach the port, as they do not with `dev` and `demo`."""
    if settings.auth_mode == "trusted" and not _is_local(settings.ws_host):
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
