"""Keys that tokens are verified with, and which algorithms each kind of key allows. Pure.

A key is good for its own kind of algorithm only: a public key that is taken for the secret of an
HMAC would let anybody sign. `none` is not known here.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
"""The algorithms that take a secret, and the least bytes of one: RFC 7518, section 3.2."""
PUBLIC_ALGORITHMS = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA")
ALGORITHMS = (*SECRET_BYTES, *PUBLIC_ALGORITHMS)
_RSA_BITS = 2048
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_MAX_KEYS = 100


class BadKey(ValueError):
    """What should be a key, or a set of them, is none; `str()` says why and holds no part of it."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key, what it may verify, and its name where it has one."""

    material: Any
    """A secret's bytes, or a public key of `cryptography`."""
    algorithms: frozenset[str]
    kid: str | None = None


def choose(
    keys: Iterable[VerificationKey], kid: str | None, algorithm: str
) -> VerificationKey | None:
    """Find the key that a token was signed with, by its header; None where none fits.

    A token without a key's name is accepted where only one key fits.
    """
    fitting = [key for key in keys if algorithm in key.algorithms]
    for key in fitting:
        if kid is not None and key.kid == kid:
            return key
    unnamed = [key for key in fitting if kid is None or key.kid is None]
    return unnamed[0] if len(unnamed) == 1 else None


def algorithms_of(key: object) -> tuple[str, ...]:
    """Name the algorithms that a public key can verify; none for what is too weak or unknown."""
    match key:
        case RSAPublicKey() if key.key_size >= _RSA_BITS:
            return ("RS256", "RS384", "RS512")
        case EllipticCurvePublicKey() if key.curve.name in _CURVES:
            return (_CURVES[key.curve.name],)
        case Ed25519PublicKey() | Ed448PublicKey():
            return ("EdDSA",)
        case _:
            return ()


def read_public_key(pem: str) -> object:
    """Read a public key from PEM text. Raises BadKey.

    A line break may be written as `\\n`: not every way to set a variable knows real ones. Of the
    key's algorithms the first is the one that is meant where none is named.
    """
    try:
        key = load_pem_public_key(pem.replace("\\n", "\n").encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadKey("it is not a PEM public key") from error
    if not algorithms_of(key):
        raise BadKey(
            f"it is neither RSA of {_RSA_BITS} bits or more, nor P-256, P-384, P-521 or Ed25519"
        )
    return key


def read_key_set(document: bytes, allowed: Container[str]) -> tuple[VerificationKey, ...]:
    """Read the usable keys of a JWK Set (RFC 7517). Raises BadKey where there is none.

    What is in it besides, such as keys for encryption, secrets or keys of unknown kinds, is
    passed over, as the RFC asks.
    """
    try:
        found = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise BadKey("the response is not JSON") from error
    entries = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(entries, list) or len(entries) > _MAX_KEYS:
        raise BadKey(f"the response has no list of up to {_MAX_KEYS} keys")
    keys = tuple(_usable(entries, allowed))
    if not keys:
        raise BadKey("the response has no usable key")
    return keys


def _usable(entries: Sequence[object], allowed: Container[str]) -> Iterator[VerificationKey]:
    for entry in entries:
        if not isinstance(entry, dict) or not _is_for_signatures(entry):
            continue
        named, kid = entry.get("alg"), entry.get("kid")
        if not isinstance(named, str | None) or named not in (None, *PUBLIC_ALGORITHMS):
            continue
        try:
            key = jwt.PyJWK(entry).key
        except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError):
            continue
        algorithms = {one for one in algorithms_of(key) if one in allowed and named in (None, one)}
        if algorithms and isinstance(kid, str | None):
            yield VerificationKey(key, frozenset(algorithms), kid)


def _is_for_signatures(entry: Mapping[str, Any]) -> bool:
    operations = entry.get("key_ops", ["verify"])
    return (
        entry.get("use", "sig") == "sig"
        and isinstance(operations, list | tuple)
        and ("verify" in operations)
    )
