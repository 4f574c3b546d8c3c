"""Which keys are usable, for what, and which one a token means."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.auth.jwt_keys import (
    PUBLIC_ALGORITHMS,
    SECRET_BYTES,
    BadKey,
    VerificationKey,
    algorithms_of,
    choose,
    read_key_set,
    read_public_key,
)
from tests.tokens import KeyPair, key_pair

WEAK = KeyPair("RS256", rsa.generate_private_key(65_537, 1_024))
ODD = KeyPair("ES256K", ec.generate_private_key(ec.SECP256K1()))


def key(kid: str | None, *algorithms: str) -> VerificationKey:
    return VerificationKey(object(), frozenset(algorithms or ["RS256"]), kid)


def read(*entries: object, allowed: tuple[str, ...] = PUBLIC_ALGORITHMS) -> list[tuple[Any, Any]]:
    keys = read_key_set(json.dumps({"keys": entries}).encode(), allowed)
    return [(one.kid, sorted(one.algorithms)) for one in keys]


@pytest.mark.parametrize(
    ("algorithm", "algorithms"),
    [
        ("RS256", ("RS256", "RS384", "RS512")),
        ("ES256", ("ES256",)),
        ("ES384", ("ES384",)),
        ("ES512", ("ES512",)),
        ("EdDSA", ("EdDSA",)),
    ],
)
def test_a_public_key_is_for_the_algorithms_of_its_kind(
    algorithm: str, algorithms: tuple[str, ...]
) -> None:
    pem = key_pair(algorithm).pem
    for text in (pem, f"\n{pem}\n", pem.replace("\n", "\\n")):
        assert algorithms_of(read_public_key(text)) == algorithms


@pytest.mark.parametrize("pair", [WEAK, ODD], ids=["RSA of 1024 bits", "secp256k1"])
def test_a_key_that_is_too_weak_or_of_an_unknown_kind_is_refused(pair: KeyPair) -> None:
    with pytest.raises(BadKey, match="neither RSA of 2048 bits"):
        read_public_key(pair.pem)
    with pytest.raises(BadKey, match="no usable key"):
        read(pair.jwk(kid="k1"))


def test_a_private_key_or_anything_else_is_no_public_key() -> None:
    private = key_pair("ES256").private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    for text in (private.decode(), "", "secret", "-----BEGIN PUBLIC KEY-----", "Ж"):
        with pytest.raises(BadKey, match="not a PEM public key"):
            read_public_key(text)


def test_a_set_s_keys_are_for_their_kind_and_for_what_they_name() -> None:
    rs, es = key_pair("RS256"), key_pair("ES384")
    assert read(rs.jwk(kid="a"), rs.jwk(kid="b", alg="RS512"), es.jwk(), rs.jwk(alg="ES256")) == [
        ("a", ["RS256", "RS384", "RS512"]),
        ("b", ["RS512"]),
        (None, ["ES384"]),
    ]
    assert read(rs.jwk(kid="a"), es.jwk(kid="b"), allowed=("RS384",)) == [("a", ["RS384"])]


@pytest.mark.parametrize(
    "entry",
    [
        {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0", "kid": "k", "alg": "HS256"},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": ["RSA"]},
        {"kty": "PQC"},
        {},
        None,
        "key",
        [],
        key_pair("RS256").jwk(use="enc"),
        key_pair("RS256").jwk(use="wrap"),
        key_pair("RS256").jwk(key_ops=["encrypt"]),
        key_pair("RS256").jwk(key_ops=5),
        key_pair("RS256").jwk(kid=5),
        key_pair("RS256").jwk(alg="RSA-OAEP"),
        key_pair("RS256").jwk(alg="none"),
        key_pair("RS256").jwk(alg=["RS256"]),
        key_pair("RS256").jwk(n=5),
    ],
)
def test_what_cannot_verify_a_token_is_passed_over(entry: object) -> None:
    good = key_pair("ES256").jwk(kid="good")
    assert read(entry, good) == [("good", ["ES256"])]


@pytest.mark.parametrize(("keys", "is_accepted"), [(100, True), (101, False), (500, False)])
def test_a_set_has_up_to_a_hundred_keys(keys: int, *, is_accepted: bool) -> None:
    entries: list[object] = [key_pair("ES256").jwk(kid="good"), *[{}] * (keys - 1)]
    if is_accepted:
        assert read(*entries) == [("good", ["ES256"])]
    else:
        with pytest.raises(BadKey, match="up to 100 keys"):
            read(*entries)


def test_a_secret_is_as_long_as_the_hash_at_least() -> None:
    assert SECRET_BYTES == {"HS256": 256 / 8, "HS384": 384 / 8, "HS512": 512 / 8}  # RFC 7518


@pytest.mark.parametrize(("bits", "count"), [(2_047, 0), (2_048, 3), (3_072, 3), (4_096, 3)])
def test_an_rsa_key_may_be_longer_than_it_has_to_be(bits: int, count: int) -> None:
    numbers = rsa.RSAPublicNumbers(65_537, (1 << (bits - 1)) + 1)
    assert len(algorithms_of(numbers.public_key())) == count


@pytest.mark.parametrize(
    "document",
    [b"", b"{", b"[]", b"{}", b'{"keys":{}}', b'{"keys":[]}', b"\xff", b"[" * 100_000,
     b'{"keys":[' + b"{}," * 100 + b"{}]}"],
    ids=lambda document: document[:10].decode("latin-1"),
)  # fmt: skip
def test_a_document_without_usable_keys_is_refused(document: bytes) -> None:
    with pytest.raises(BadKey):
        read_key_set(document, PUBLIC_ALGORITHMS)


@given(st.binary(max_size=300))
def test_no_document_raises_anything_else(document: bytes) -> None:
    with pytest.raises(BadKey):
        read_key_set(document, ())


def test_the_key_that_is_named_is_taken_for_its_algorithms_only() -> None:
    one, other, twin = key("1"), key("2"), key("1", "ES256")
    keys = [one, other, twin]
    assert choose(keys, "1", "RS256") is one
    assert choose(keys, "1", "ES256") is twin
    assert choose(keys, "2", "RS256") is other
    assert choose(keys, "2", "ES256") is None
    assert choose(keys, "3", "RS256") is None


def test_without_a_name_the_one_key_that_can_be_meant_is_taken() -> None:
    assert choose([], None, "RS256") is None
    only = key("1")
    assert choose([only, key("2", "ES256")], None, "RS256") is only
    assert choose([only, key("2")], None, "RS256") is None


def test_a_key_without_a_name_may_be_meant_by_any_name() -> None:
    unnamed, named = key(None), key("1")
    assert choose([unnamed], "1", "RS256") is unnamed
    assert choose([unnamed, named], "1", "RS256") is named
    assert choose([unnamed, named], "2", "RS256") is unnamed
    assert choose([unnamed, key(None)], "2", "RS256") is None
