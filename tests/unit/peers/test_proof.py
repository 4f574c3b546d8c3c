"""A proof counts for one link, one pair of pods and one role, under a key that both know."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.peers.proof import (
    KEY_BYTES,
    NONCE_BYTES,
    Challenge,
    Proof,
    find_key,
    is_welcome,
    sign_proof,
    sign_welcome,
)
from constellation_ws.peers.wire import VERSION
from tests.peer_lines import KEY, OTHER_KEY, proof_for

CHALLENGE = Challenge(VERSION, b"c" * NONCE_BYTES)

NONCES = st.binary(min_size=NONCE_BYTES, max_size=NONCE_BYTES)
KEYS = st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES)
NAMES = st.text(max_size=12)


@dataclass(frozen=True, slots=True)
class Said:
    """All that a signature is about."""

    key: bytes
    challenge: bytes
    nonce: bytes
    instance: str
    wanted: str

    def proof(self) -> bytes:
        challenge = Challenge(VERSION, self.challenge)
        return sign_proof(self.key, challenge, self.instance, self.wanted, self.nonce)

    def welcome(self) -> bytes:
        proof = Proof(self.instance, self.wanted, self.nonce, b"")
        return sign_welcome(self.key, Challenge(VERSION, self.challenge), proof)


SAID = st.builds(Said, KEYS, NONCES, NONCES, NAMES, NAMES)


def test_pods_of_other_releases_read_the_same_frames() -> None:
    assert (NONCE_BYTES, KEY_BYTES) == (16, 32)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(Challenge(1, b"n"))) == [1, b"n"]
    proof = Proof("a", "b", b"n", b"s")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(proof)) == ["a", "b", b"n", b"s"]


def test_a_proof_under_a_key_that_counts_is_found() -> None:
    assert find_key([KEY], CHALLENGE, proof_for(CHALLENGE)) == KEY


@pytest.mark.parametrize("at", range(3), ids=["current", "previous", "next"])
def test_each_key_that_counts_is_accepted(at: int) -> None:
    """Pods notice at different moments that a new period has begun."""
    keys = [bytes((number,)) * KEY_BYTES for number in range(3)]
    assert find_key(keys, CHALLENGE, proof_for(CHALLENGE, key=keys[at])) == keys[at]


def test_a_proof_under_another_key_counts_for_nothing() -> None:
    assert find_key([KEY], CHALLENGE, proof_for(CHALLENGE, key=OTHER_KEY)) is None


def test_without_a_key_nobody_is_a_pod() -> None:
    assert find_key([], CHALLENGE, proof_for(CHALLENGE, key=b"")) is None


def test_a_proof_that_was_overheard_is_worth_nothing_on_another_link() -> None:
    overheard = proof_for(CHALLENGE)
    assert find_key([KEY], Challenge(VERSION, b"d" * NONCE_BYTES), overheard) is None


@pytest.mark.parametrize(
    "changed",
    [{"instance": "x"}, {"wanted": "x"}, {"nonce": b"m" * NONCE_BYTES}],
    ids=["sender", "receiver", "nonce"],
)
def test_a_proof_is_worth_nothing_once_it_says_something_else(changed: dict[str, object]) -> None:
    proof = msgspec.structs.replace(proof_for(CHALLENGE), **changed)
    assert find_key([KEY], CHALLENGE, proof) is None


def test_names_cannot_be_moved_between_sender_and_receiver() -> None:
    """`ab` to `c` is not `a` to `bc`: names are signed one by one, not as one text."""
    proof = proof_for(CHALLENGE, instance="ab", wanted="c")
    moved = msgspec.structs.replace(proof, instance="a", wanted="bc")
    assert find_key([KEY], CHALLENGE, moved) is None


@pytest.mark.parametrize("size", [0, 1, NONCE_BYTES - 1, NONCE_BYTES + 1])
def test_a_nonce_of_another_length_is_refused_though_it_is_signed(size: int) -> None:
    proof = proof_for(CHALLENGE, nonce=b"n" * size)
    assert find_key([KEY], CHALLENGE, proof) is None


@pytest.mark.parametrize("size", [0, 1, 31, 33])
def test_a_signature_of_another_length_counts_for_nothing(size: int) -> None:
    proof = proof_for(CHALLENGE)
    cut = msgspec.structs.replace(proof, signature=(proof.signature + b"\0")[:size])
    assert find_key([KEY], CHALLENGE, cut) is None


def test_a_welcome_answers_one_proof() -> None:
    proof = proof_for(CHALLENGE)
    welcome = sign_welcome(KEY, CHALLENGE, proof)
    assert is_welcome(KEY, CHALLENGE, proof, welcome)
    for other in (
        msgspec.structs.replace(proof, nonce=b"m" * NONCE_BYTES),
        msgspec.structs.replace(proof, instance="x"),
        msgspec.structs.replace(proof, wanted="x"),
    ):
        assert not is_welcome(KEY, CHALLENGE, other, welcome)
    assert not is_welcome(OTHER_KEY, CHALLENGE, proof, welcome)
    assert not is_welcome(KEY, Challenge(VERSION, b"d" * NONCE_BYTES), proof, welcome)


def test_a_proof_that_comes_back_is_no_welcome() -> None:
    """Whoever knows no key could only send back what it was sent."""
    proof = proof_for(CHALLENGE)
    assert not is_welcome(KEY, CHALLENGE, proof, proof.signature)


def test_a_welcome_that_comes_back_is_no_proof() -> None:
    proof = proof_for(CHALLENGE)
    reflected = msgspec.structs.replace(proof, signature=sign_welcome(KEY, CHALLENGE, proof))
    assert find_key([KEY], CHALLENGE, reflected) is None


@given(SAID, SAID)
def test_no_two_things_have_one_signature(one: Said, other: Said) -> None:
    assert one.proof() != one.welcome()
    assert one.proof() != other.welcome()
    assert (one.proof() == other.proof()) is (one == other)
    assert (one.welcome() == other.welcome()) is (one == other)


@given(SAID, st.data())
def test_each_part_of_what_is_said_is_signed(said: Said, data: st.DataObject) -> None:
    field = data.draw(st.sampled_from(["key", "challenge", "nonce", "instance", "wanted"]))
    strategy = {"key": KEYS, "challenge": NONCES, "nonce": NONCES}.get(field, NAMES)
    value = data.draw(strategy.filter(lambda value: value != getattr(said, field)))
    changed = Said(**{**{name: getattr(said, name) for name in Said.__slots__}, field: value})
    assert said.proof() != changed.proof()
    assert said.welcome() != changed.welcome()
