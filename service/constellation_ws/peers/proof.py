"""How two pods prove to each other that they belong to one deployment. Pure.

Both know the keys that the deployment shares through Redis. Each signs a random number of the
other, together with both instances, so that a signature is invalid on another link and for another
pod.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable

import msgspec

NONCE_BYTES = 16
KEY_BYTES = 32


class Challenge(msgspec.Struct, frozen=True, array_like=True):
    """The first frame, of the pod that was connected to."""

    version: int
    nonce: bytes


class Proof(msgspec.Struct, frozen=True, array_like=True):
    """The reply of the pod that has connected."""

    instance: str
    wanted: str
    """The instance that it expects, as an address may belong to another pod by now."""
    nonce: bytes
    signature: bytes


def sign_proof(key: bytes, challenge: Challenge, instance: str, wanted: str, nonce: bytes) -> bytes:
    """Sign as the pod that has connected."""
    return _sign(key, b"connects", challenge.nonce, nonce, instance, wanted)


def sign_welcome(key: bytes, challenge: Challenge, proof: Proof) -> bytes:
    """Sign as the pod that was connected to."""
    return _sign(key, b"accepts", challenge.nonce, proof.nonce, proof.instance, proof.wanted)


def find_key(keys: Iterable[bytes], challenge: Challenge, proof: Proof) -> bytes | None:
    """Return the key that a proof was signed with; None if it is none of these."""
    if len(proof.nonce) != NONCE_BYTES:
        return None
    for key in keys:
        expected = sign_proof(key, challenge, proof.instance, proof.wanted, proof.nonce)
        if hmac.compare_digest(expected, proof.signature):
            return key
    return None


def is_welcome(key: bytes, challenge: Challenge, proof: Proof, signature: bytes) -> bool:
    """Return whether a welcome was signed with the key."""
    return hmac.compare_digest(sign_welcome(key, challenge, proof), signature)


def _sign(key: bytes, role: bytes, one: bytes, other: bytes, instance: str, wanted: str) -> bytes:
    said = msgspec.msgpack.encode((role, one, other, instance, wanted))
    return hmac.digest(key, said, "sha256")
