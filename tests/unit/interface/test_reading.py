"""The form of a table's rows: unknown keys, missing ones, and values of the wrong kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from constellation_ws.interface.reading import Reader, shown
from tests.tables import EXTENDS, faults, only_fault


def row(section: str, text: str) -> str:
    return f"{EXTENDS}[[{section}]]\n{text}"


@pytest.mark.parametrize(
    ("section", "text", "says"),
    [
        ("namespace", 'identity = "none"', "namespace 1 (no name): name is missing"),
        (
            "namespace",
            'name = "/x"\nidentity = "maybe"',
            'namespace 1 (/x): identity must be "required" or "none"',
        ),
        ("namespace", 'name = "/x"\nidentiti = "none"', "is not known; did you mean identity?"),
        ("namespace", "name = 7", "namespace 1 (name): name must be a string"),
        ("backend", 'name = "a"\nhttp = "http://a"\ntimeout_ms = 1.5', "must be a whole number"),
        ("backend", 'name = "a"\nhttp = "http://a"\ntimeout_ms = true', "must be a whole number"),
        ("backend", 'name = "a"\nhttp = "http://a"\ntimeout_ms = "1"', "must be a whole number"),
        ("request", 'event = "x"\njoins = "a:{b}"', "joins must be a list of strings"),
        ("request", 'event = "x"\nleaves = [1]', "leaves must be a list of strings"),
        (
            "request",
            'event = "x"\nto = "mail"',
            'to must be "nest" or "http" or "channel" or "log"',
        ),
        ("request", 'event = "x"\njoins = ["a:{b}"]\naccess = "all"', 'must be "none" or "chat"'),
        ("request", 'event = "x"\njoins = ["a:{b}"]\nrooms = 1', "rooms must be true or false"),
        ("request", 'event = "x"\njoins = ["a:{b}"]\ntypes = ["id"]', "types must be a table"),
        ("request", 'event = "x"\njoins = ["a:{b}"]\n"a\\nb" = 1', r"(x): 'a\nb' is not known"),
        ("request", 'event = "a\\nb"\njoins = 1', r"request 1 ('a\nb'): joins must be"),
        (
            "route",
            'channel = "c"\nevent = "e"\nkeys = []\nto = ["a:{b}"]\nremoves = { who = "a:{b}" }',
            "removes must be a table such as",
        ),
    ],
)
def test_a_fault_of_form_names_the_key_and_what_it_takes(
    tmp_path: Path, section: str, text: str, says: str
) -> None:
    assert says in only_fault(tmp_path, row(section, text))


def test_every_fault_of_a_row_is_named(tmp_path: Path) -> None:
    found = faults(tmp_path, row("route", "event = 1\nkeys = 2\nvolatile = 3\nvolatil = true"))
    assert [fault.partition("): ")[2] for fault in found] == [
        "volatil is not known; did you mean volatile?",
        "channel is missing",
        "event must be a string",
        "keys must be a list of strings",
        "to is missing",
        "volatile must be true or false",
    ]


@pytest.mark.parametrize("section", ["namespace", "backend", "request", "route"])
def test_a_section_is_a_list_of_tables(tmp_path: Path, section: str) -> None:
    assert only_fault(tmp_path, f"{EXTENDS}[{section}]\nname = 'x'") == (
        f"interface.toml: {section} must be written as [[{section}]]"
    )
    assert only_fault(tmp_path, f"{EXTENDS}{section} = [7]") == (
        f"interface.toml, {section} 1 must be a table of its own: [[{section}]]"
    )


def test_a_long_name_is_cut(tmp_path: Path) -> None:
    fault = only_fault(tmp_path, row("namespace", f'name = "/{"x" * 1_000}"\nidentity = 1'))
    assert len(fault) < 250
    assert "xxx..." in fault


def test_rows_that_cannot_be_read_cause_no_faults_of_others(tmp_path: Path) -> None:
    text = """
    [[namespace]]
    name = "/x"
    identity = "maybe"
    [[backend]]
    name = "b"
    nest = 7
    [[backend]]
    name = "c"
    nest = "c:1"
    [[request]]
    namespace = "/x"
    event = "one"
    to = "nest"
    backend = "b"
    [[request]]
    event = "two"
    to = "nest"
    backend = "c"
    color = "red"
    """
    found = faults(tmp_path, text)
    assert [fault.partition(": ")[0] for fault in found] == [
        "interface.toml, namespace 1 (/x)",
        "interface.toml, backend 1 (b)",
        "interface.toml, request 2 (two)",
    ]


def test_whatever_names_are_in_a_file_each_fault_is_one_line_that_can_be_shown(
    tmp_path: Path,
) -> None:
    text = r"""
    [[namespace]]
    name = "/a\u0007b"
    [[backend]]
    name = "b\u0007b"
    [[request]]
    namespace = "/a\u0007c"
    event = "one"
    joins = ["a:{b\u0007}", "a:{c\u0007}"]
    bare = "b\u0007"
    [[request]]
    event = "two"
    joins = ["a:{b\u0007}"]
    bare = "b"
    [[request]]
    event = "three"
    to = "http"
    backend = "b\u0007c"
    [[request]]
    event = "four"
    to = "http"
    backend = "b\u0007b"
    [[request]]
    event = "five"
    to = "http"
    backend = "other"
    """
    found = faults(tmp_path, EXTENDS + text)
    assert [fault for fault in found if not fault.isprintable()] == []
    assert [fault for fault in found if r"the keys are 'b\x07'" in fault]
    assert [fault for fault in found if r"the request needs 'b\x07', 'c\x07'; remove" in fault]
    assert [fault for fault in found if r"did you mean 'b\x07b'?" in fault]
    assert [fault for fault in found if r"and 'b\x07b' has none" in fault]
    assert [fault for fault in found if r"it has 'b\x07b'" in fault]


ROUTE = '[[route]]\nchannel = "c"\nevent = "e"\nkeys = []\nto = ["a:{b}"]\n'


def read_routes(folder: Path, text: bytes) -> Reader:
    file = folder / "routes.toml"
    file.write_bytes(text)
    reader = Reader()
    reader.add_routes(file)
    return reader


def test_of_a_file_of_routes_nothing_else_is_added(tmp_path: Path) -> None:
    assert read_routes(tmp_path, ROUTE.encode()).faults == []
    others = '[[namespace]]\nname = "/x"\n[[backend]]\nname = "b"\n[[zebra]]\na = 1\n'
    reader = read_routes(tmp_path, (others + ROUTE).encode())
    (fault,) = reader.faults
    assert "must hold [[route]] entries and nothing else" in fault
    assert [row.channel for _, row in reader.routes] == ["c"]
    assert (reader.namespaces, reader.backends) == ([], [])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"\xff", "cannot be read"),
        (b"[[route", "is not TOML"),
        (b"route = " + b"[" * 100_000, "is not TOML"),
    ],
)
def test_a_file_that_cannot_be_read_leaves_the_table_incomplete(
    tmp_path: Path, text: bytes, says: str
) -> None:
    reader = read_routes(tmp_path, text)
    (fault,) = reader.faults
    assert says in fault
    assert not reader.is_complete


def test_a_file_that_is_not_there_cannot_be_read(tmp_path: Path) -> None:
    reader = Reader()
    reader.add_interface(tmp_path / "absent.toml")
    assert "cannot be read" in reader.faults[0]
    assert not reader.is_complete


def test_an_unknown_section_is_a_fault(tmp_path: Path) -> None:
    says = "zebra is not known; a table has extends, [[namespace]], [[backend]],"
    assert says in only_fault(tmp_path, f"{EXTENDS}[[zebra]]\na = 1\n")


def test_rows_behind_one_that_is_no_table_are_read(tmp_path: Path) -> None:
    row = '{ channel = "c", event = "e", keys = [], to = ["a:{b}"] }'
    reader = read_routes(tmp_path, f"route = [1, {row}]".encode())
    assert len(reader.faults) == 1
    assert [one.channel for _, one in reader.routes] == ["c"]


@pytest.mark.parametrize(("chars", "end"), [(100, "x"), (101, "x...")])
def test_a_name_is_cut_behind_a_hundred_characters(chars: int, end: str) -> None:
    assert shown("x" * chars) == "x" * 99 + end
