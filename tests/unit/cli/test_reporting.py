"""A command that fails says why on stderr, in its own sentence."""

from __future__ import annotations

import pytest
import typer

from constellation_ws.cli.reporting import ASKED_WRONGLY, exit_on, to_table, warn, write_json


def test_a_fault_that_is_expected_is_one_sentence_and_an_exit_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(typer.Exit) as ended, exit_on(ASKED_WRONGLY, KeyError, OSError):
        raise OSError("the file is not there")
    assert ended.value.exit_code == 2
    assert capsys.readouterr() == ("", "the file is not there\n")


def test_each_line_of_a_fault_may_be_said_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    with pytest.raises(typer.Exit), exit_on(ASKED_WRONGLY, OSError, say=said.append):
        raise OSError("one\ntwo")
    assert said == ["one", "two"]
    assert capsys.readouterr() == ("", "")


def test_a_fault_that_is_not_expected_rises() -> None:
    with pytest.raises(ValueError, match="a bug"), exit_on(ASKED_WRONGLY, KeyError):
        raise ValueError("a bug")


def test_a_warning_says_that_it_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    warn("nobody listens")
    assert capsys.readouterr() == ("", "warning: nobody listens\n")


def test_columns_align_and_nothing_trails() -> None:
    shown = to_table([("a", "bbb", "c"), ("aaaa", "b", ""), ("", "", "cc cc")])

    assert shown.splitlines() == ["a     bbb  c", "aaaa  b", "           cc cc"]


def test_json_is_one_line_in_its_own_letters(capsys: pytest.CaptureFixture[str]) -> None:
    write_json({"text": "был", "none": None})
    assert capsys.readouterr() == ('{"text":"был","none":null}\n', "")
