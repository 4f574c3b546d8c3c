"""Keys of the HTTP API: how they are written, which are refused, and who is found by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.api.keys import EVERYTHING, Scope, faults, read_keys

KEY = "0123456789abcdef"
OTHER_KEY = "fedcba9876543210"


def test_a_key_without_scopes_has_all_of_them() -> None:
    keys = read_keys(f"billing:{KEY}, mailer:{OTHER_KEY}:send+read")

    billing, mailer = keys.find(KEY), keys.find(OTHER_KEY)

    assert billing is not None
    assert (billing.name, billing.scopes) == ("billing", EVERYTHING)
    assert mailer is not None
    assert (mailer.name, mailer.scopes) == ("mailer", {Scope.SEND, Scope.READ})


@pytest.mark.parametrize(
    "presented", ["", "billing", KEY[:-1], KEY + "0", KEY.upper(), f" {KEY}", "ключ"]
)
def test_nobody_is_found_by_what_is_not_a_key(presented: str) -> None:
    assert read_keys(f"billing:{KEY}").find(presented) is None


def test_keys_may_have_every_character_of_a_bearer_token() -> None:
    key = "abcDEF019._~+/-=="
    text = f"a:{key}"

    assert [*faults(text)] == []
    assert read_keys(text).find(key) is not None


@pytest.mark.parametrize("entry", [f"a:{'k' * 1024}", f"a:{KEY}:publish+send+read+rooms"])
def test_a_key_may_be_long_and_name_every_scope(entry: str) -> None:
    assert [*faults(entry)] == []
    (key,) = read_keys(entry)
    assert key.scopes == EVERYTHING


def test_a_key_is_not_kept() -> None:
    assert KEY not in repr([*read_keys(f"billing:{KEY}")])


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "entry 1 is not name:key or name:key:scope+scope"),
        (KEY, "entry 1 is not name:key or name:key:scope+scope"),
        (f"a:{KEY}:send:read", "entry 1 is not name:key or name:key:scope+scope"),
        (f"a:{KEY},", "entry 2 is not name:key or name:key:scope+scope"),
        (
            f":{KEY}",
            "entry 1 has no name of 1 to 64 letters, digits, dots, hyphens and",
        ),
        (f"a b:{KEY}", "entry 1 has no name of"),
        (f"{'a' * 65}:{KEY}", "entry 1 has no name of"),
        ("a:", "entry 1 has a key of 0 characters; 16 to 1,024 are required"),
        (f"a:{KEY[1:]}", "entry 1 has a key of 15 characters; 16 to 1,024 are required"),
        (f"a:{'k' * 1025}", "entry 1 has a key of 1025 characters"),
        (f"a:{KEY} ä", "entry 1 has a key with characters other than letters, digits and"),
        (f"a:{KEY}:", "entry 1 has an unknown scope; scopes are publish, send, read, rooms"),
        (f"a:{KEY}:send+write", "entry 1 has an unknown scope"),
        (f"a:{KEY}:send,read", "entry 2 is not name:key"),
        (f"a:{KEY},b:{OTHER_KEY},a:{'k' * 16}", "entries 1 and 3 have the same name"),
        (f"a:{KEY},b:{KEY}", "entries 1 and 2 have the same key"),
    ],
)
def test_what_cannot_be_used_is_named_by_its_place(text: str, fault: str) -> None:
    (found,) = faults(text)

    assert found.startswith(fault)


def test_every_fault_has_a_line() -> None:
    assert len([*faults(f"a:short,b:{KEY}:write,c:{KEY},c:{KEY}")]) == 4


@given(st.text(max_size=200))
def test_no_fault_shows_what_may_be_a_key(secret: str) -> None:
    shown = " ".join(faults(f"{secret},a:{secret},a:{KEY}:{secret}"))

    assert secret not in shown or len(secret) < 20
