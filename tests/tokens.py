"""Tokens as an issuer signs them, good ones and all kinds of bad ones, and the keys for it.

Not here: what should become of them.
"""

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

SECRET = "a secret of the tests, which is long enough for all of HS256, HS384 and HS512"
HOUR = 3_600


@dataclass(frozen=True)
class KeyPair:
    """A key to sign with, by the algorithm that it is for."""

    algorithm: str
    private: Any

    @property
    def pem(self) -> str:
        """The public half as PEM text."""
        return (
            self.private.public_key()
            .public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            .decode()
        )

    def jwk(self, **fields: object) -> dict[str, Any]:
        """The public half as an entry of a JWK Set."""
        algorithm = jwt.get_algorithm_by_name(self.algorithm)
        entry = json.loads(algorithm.to_jwk(self.private.public_key()))
        entry.pop("key_ops", None)
        return entry | fields

    def sign(self, claims: Mapping[str, Any], **headers: str) -> str:
        return jwt.encode(dict(claims), self.private, self.algorithm, headers)


@cache
def key_pair(algorithm: str, name: str = "") -> KeyPair:
    """A key pair of its own for each name; made once, since RSA takes its time."""
    if algorithm.startswith("RS"):
        return KeyPair(algorithm, rsa.generate_private_key(65_537, 2_048))
    if algorithm == "EdDSA":
        return KeyPair(algorithm, ed25519.Ed25519PrivateKey.generate())
    curves = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
    return KeyPair(algorithm, ec.generate_private_key(curves[algorithm]))


def claims_of(user: object, lifetime_seconds: float = HOUR, **more: Any) -> dict[str, Any]:
    """The claims of a good token."""
    return {"sub": user, "exp": time.time() + lifetime_seconds, **more}


def signed(claims: Mapping[str, Any], secret: str = SECRET, algorithm: str = "HS256") -> str:
    """A token signed with a secret."""
    return jwt.encode(dict(claims), secret, algorithm)


def token_of(user: object, lifetime_seconds: float = HOUR, **more: Any) -> str:
    """A good token."""
    return signed(claims_of(user, lifetime_seconds, **more))


def unsigned(claims: Mapping[str, Any], algorithm: str = "none", signature: bytes = b"") -> str:
    """A token with any header and signature: what no library makes."""
    header = {"alg": algorithm, "typ": "JWT"}
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
