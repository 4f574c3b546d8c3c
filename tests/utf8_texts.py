"""Byte strings that are UTF-8 and such that are not, after Markus Kuhn's decoder stress test.

Grouped and ordered as groups 6.5 to 6.23 of the Autobahn testsuite have them. Only data lives here.
"""

from collections.abc import Sequence
from typing import Final

Texts = list[tuple[bool, bytes]]
"""Each with whether it is valid."""

GREEK: Final = bytes.fromhex("ceba e1bdb9 cf83 cebc ceb5")
"""Five letters of two and three bytes."""


def _of(is_valid: bool, spelled: str) -> Texts:
    return [(is_valid, bytes.fromhex(word)) for word in spelled.split()]


def _encoded(points: Sequence[int]) -> Texts:
    return [(True, chr(point).encode()) for point in points]


def _lone_leads(first: int, end: int) -> tuple[bool, bytes]:
    return False, b"".join(b"%c " % lead for lead in range(first, end))


_CUT_SHORT: Final = "c0 e080 f08080 f8808080 fc80808080 df efbf f7bfbf fbbfbfbf fdbfbfbfbf"

GROUPS: Final[dict[str, Texts]] = {
    "valid text": [
        *[(True, f"hello{sign}world".encode()) for sign in "$¢€𤭢"],
        (True, GREEK),
    ],
    "prefixes of the Greek word": [
        (size in {2, 5, 7, 9, 11}, GREEK[:size]) for size in range(1, len(GREEK) + 1)
    ],
    "first of each length": _encoded((0x0, 0x80, 0x800, 0x10000)),
    "first of five and six bytes": _of(False, "f888808080 fc8480808080"),
    "last of each length": _encoded((0x7F, 0x7FF, 0xFFFF, 0x10FFFF)),
    "last of four, five and six bytes": _of(False, "f7bfbfbf fbbfbfbfbf fdbfbfbfbfbf"),
    "other boundaries": [
        *_encoded((0xD7FF, 0xE000, 0xFFFD, 0x10FFFF)),
        *_of(False, "f4908080"),
    ],
    "continuations of nothing": [
        *_of(False, "80 bf 80bf 80bf80 80bf80bf 80bf80bf80 80bf80bf80bf"),
        (False, bytes(range(0x80, 0xBF))),
    ],
    "leads followed by a space": [
        _lone_leads(0xC0, 0xDF),
        _lone_leads(0xE0, 0xEF),
        _lone_leads(0xF0, 0xF7),
        _lone_leads(0xF8, 0xFB),
        _lone_leads(0xFC, 0xFD),
    ],
    "last byte missing": _of(False, _CUT_SHORT),
    "those in a row": _of(False, _CUT_SHORT.replace(" ", "")),
    "bytes that never occur": _of(False, "fe ff fefeffff"),
    "too long for a slash": _of(False, "c0af e080af f08080af f8808080af fc80808080af"),
    "last that are too long": _of(False, "c1bf e09fbf f08fbfbf f887bfbfbf fc83bfbfbfbf"),
    "too long for NUL": _of(False, "c080 e08080 f0808080 f880808080 fc8080808080"),
    "surrogates": _of(False, "eda080 edadbf edae80 edafbf edb080 edbe80 edbfbf"),
    "pairs of surrogates": [
        (False, bytes.fromhex(high + low))
        for high in ("eda080", "edadbf", "edae80", "edafbf")
        for low in ("edb080", "edbfbf")
    ],
    "characters that are none": _encoded(
        [plane << 16 | last for plane in range(17) for last in (0xFFFE, 0xFFFF)]
    ),
    "specials": _encoded(range(0xFFF9, 0x10000)),
}
