"""Every fuzz harness over its corpus, and over what chance makes of that; `make fuzz` goes on."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.harnesses import CORPUS, HARNESSES, Harness
from tests.fuzz.mutations import mutated

EXAMPLES = 1000
MAX_FILE_BYTES = 4096

every_harness = pytest.mark.parametrize("harness", HARNESSES, ids=lambda harness: harness.name)


@every_harness
def test_what_the_corpus_holds_is_survived(harness: Harness) -> None:
    assert harness.inputs()
    for data in harness.inputs():
        harness.check(data)


@every_harness
def test_any_bytes_are_survived(harness: Harness) -> None:
    @settings(max_examples=EXAMPLES)
    @given(st.binary(max_size=300))
    def survives(data: bytes) -> None:
        harness.check(data)

    survives()


@every_harness
def test_what_chance_makes_of_the_corpus_is_survived(harness: Harness) -> None:
    inputs = harness.inputs()

    @settings(max_examples=EXAMPLES)
    @given(st.integers(0, 2**32))
    def survives(seed: int) -> None:
        harness.check(mutated(inputs, random.Random(seed)))

    survives()


def test_the_corpus_is_small_and_all_of_it_is_replayed() -> None:
    assert {folder.name for folder in CORPUS.iterdir()} == {one.name for one in HARNESSES}
    assert [file for file in CORPUS.rglob("*") if file.stat().st_size > MAX_FILE_BYTES] == []
