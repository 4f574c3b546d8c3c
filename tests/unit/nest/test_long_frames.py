"""A frame that is too long costs no memory, and none of its neighbours."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.nest.framing import FramingError, FramingFault
from constellation_ws.nest.long_frames import SkippingDecoder, find_id
from tests.nest_client import frame

MOST = 200


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def read(decoder: SkippingDecoder, chunks: list[bytes]) -> list[tuple[bytes, bool]]:
    """Each text, and whether it is only the end of one."""
    return [(text, decoder.is_cut) for chunk in chunks for text in decoder.feed(chunk)]


@pytest.mark.parametrize("size", [1, 7, 1_000_000])
@pytest.mark.parametrize("letter", ["x", "ж", "👋"])
def test_those_before_and_behind_are_whole(letter: str, size: int) -> None:
    long = {"response": letter * 10_000, "isDisposed": True, "id": "2"}
    data = b"".join(frame(one, ascii_only=False) for one in ({"id": "1"}, long, {"id": "3"}, long))
    before, cut_one, behind, last = read(SkippingDecoder(MOST), cut(data, size))
    assert (json.loads(before[0]), json.loads(behind[0])) == ({"id": "1"}, {"id": "3"})
    assert [one[1] for one in (before, cut_one, behind, last)] == [False, True, False, True]
    assert find_id(cut_one[0]) == "2"


def test_the_longest_is_whole() -> None:
    text = "x" * (MOST - 2)
    assert read(SkippingDecoder(MOST), [frame(text)]) == [(f'"{text}"'.encode(), False)]
    ((end, is_cut),) = read(SkippingDecoder(MOST), [frame(text + "x")])
    assert is_cut
    assert len(end) <= 64


def test_what_is_far_too_long_is_not_waited_for() -> None:
    assert read(SkippingDecoder(MOST), [b"%d#" % (64 << 20)]) == []
    with pytest.raises(FramingError) as caught:
        read(SkippingDecoder(MOST), [b"%d#" % ((64 << 20) + 1)])
    assert caught.value.fault is FramingFault.TOO_LONG


@pytest.mark.parametrize(
    ("end", "found"),
    [
        (b'xxx","isDisposed":true,"id":"7"}', "7"),
        (b'{ "id" : "a-b" } \n', "a-b"),
        (b'"response":{"id":"5"}}', None),
        (b'"response":[{"id":"5"}]}', None),
        (rb'"response":"\"id\":\"5\"}"}', None),
        (b'"id":"7","isDisposed":true}', None),
        (b'"xid":"7"}', None),
        (b"", None),
    ],
)
def test_the_id_is_found_only_where_it_is_the_replys_own(end: bytes, found: str | None) -> None:
    assert find_id(end) == found


@given(
    st.dictionaries(
        st.sampled_from(["a", "id", "response"]),
        st.recursive(
            st.text(max_size=5) | st.just("5"),
            lambda inner: st.dictionaries(st.sampled_from(["id", "x"]), inner) | st.lists(inner),
            max_leaves=6,
        ),
    )
)
def test_no_id_is_made_up(reply: dict[str, object]) -> None:
    found = find_id(json.dumps(reply).encode()[-64:])
    assert found is None or found == reply["id"]
