"""The command line: what it understands, and how it says that it does not.

What the commands do is shown by tests/journey/test_cli.py, with real processes.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

import constellation_ws
from constellation_ws.cli import loading
from constellation_ws.cli.main import run
from tests.processes import REPOSITORY
from tools.reference import commands

COMMANDS = tuple(commands.names())


@pytest.fixture(autouse=True)
def _bare_environment() -> Iterator[None]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    with patch.dict(os.environ, kept, clear=True):
        yield


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_names_every_command_with_a_whole_sentence(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 0

    shown = capsys.readouterr().out
    for command in COMMANDS:
        (line,) = [line for line in shown.splitlines() if line.startswith(f"  {command} ")]
        assert line.endswith(".")
        assert not line.endswith("...")


@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_that_fits_a_terminal(
    command: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([command, option]) == 0

    shown = capsys.readouterr().out
    assert shown.startswith(f"Usage: constellation-ws {command}")
    assert max(map(len, shown.splitlines())) <= 80


def test_the_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0

    assert capsys.readouterr().out == f"{constellation_ws.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["lisen"], "listen"),
        (["--colour"], "--colour"),
        (["listen"], "--user"),
        (["listen", "--user", "bob", "--count", "0"], "--count"),
        (["listen", "--user", "bob", "--timeout", "soon"], "--timeout"),
        (["listen", "--user", "bob", "--url", "localhost:7000"], "localhost:7000"),
        (["publish", "chat:new"], "JSON"),
        (["publish", "chat:new", "{}", "{}"], "{}"),
        (["schema"], "--asyncapi, --typescript, --openapi"),
        (["schema", "--asyncapi", "--openapi"], "exactly one"),
        (["send", "bob"], "See constellation-ws send --help."),
        (["completion", "tcsh"], ": 'tcsh' is not one of 'bash', 'zsh', 'fish'."),
        (["who", ""], "it is empty"),
        (["token", ""], "it is empty"),
        (["send", "", "hello", "{}"], "it is empty"),
        (["kick", ""], "it is empty"),
        (["tail", "--user", ""], "it is empty"),
        (["tail", "--chat", ""], "it is empty"),
        (["tail", "--channel", ""], "it is empty"),
    ],
)
def test_what_is_not_understood_is_named_in_one_line_and_ends_with_code_2(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2

    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1
    assert says in shown.err


@pytest.mark.parametrize(
    "command", [["serve"], ["dev"], ["demo"], ["check"], ["publish", "a", "b"]]
)
def test_settings_that_cannot_be_read_are_told_one_a_line_without_secrets(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WS_PORT", "seven")
    monkeypatch.setenv("REDIS_URL", "redis//:hunter2@redis")

    assert run(command) == 2

    shown = capsys.readouterr()
    # What runs in a pod says it in its log, whose lines are JSON where there is no terminal.
    lines = [line.removeprefix('{"event": "') for line in shown.err.splitlines()]
    assert [line.split()[0] for line in lines] == ["WS_PORT", "REDIS_URL"]
    assert any(line.startswith("{") for line in shown.err.splitlines()) == (command == ["serve"])
    assert "hunter2" not in shown.out + shown.err


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["chat:new", '{"userId": 1}'], 0, "rooms      user:1"),
        (["chat:new", "{}"], 1, "outcome  dropped"),
        (["request", "join-chat", "7"], 0, "rooms      chat:7"),
        (["request", "join-chat", "7", "--namespace", "/x"], 1, "code     unknown_event"),
        (["request", "join-chat"], 1, "outcome  dropped"),
        (["--json", "chat:new", "{}"], 1, '{"outcome":"dropped","reason":"malformed: lacks'),
    ],
)
def test_explain_shows_what_would_become_of_it(
    arguments: list[str], code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["explain", *arguments]) == code
    assert [shown for shown in capsys.readouterr().out.splitlines() if shown.startswith(line)]


def test_the_documented_explanations_are_what_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    page = (REPOSITORY / "docs" / "interface.md").read_text(encoding="utf-8")
    (console,) = re.findall(r"```console\n(.*?)```", page, re.DOTALL)
    commands = re.findall(r"(?m)^\$ constellation-ws (.*)\n((?:[^$].*\n)+)", console)
    assert len(commands) == 3
    for command, shown in commands:
        run(shlex.split(command))
        assert capsys.readouterr().out == shown


@pytest.mark.parametrize("words", [["a"], ["a", "b", "c"], ["request", "a", "b", "c"]])
def test_explain_says_what_it_requires(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["explain", *words]) == 2
    assert "explain requires CHANNEL JSON, or request EVENT JSON" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", [["check"], ["publish", "a", "b"], ["explain", "a", "b"], ["serve"]]
)
def test_every_fault_of_the_interface_is_shown(
    command: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "interface.toml"
    file.write_text('[[namespace]]\nname = "x"\n[[route]]\nchannel = "*"\n')
    monkeypatch.setenv("CONSTELLATION_INTERFACE_FILE", str(file))

    assert run(command) == 2

    lines = [line for line in capsys.readouterr().err.splitlines() if "interface.toml, " in line]
    assert len(lines) == 4


@pytest.mark.parametrize("command", [["check"], ["publish", "a", "b"]])
def test_routes_that_cannot_be_used_are_told_in_one_line(
    command: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "routes.toml"
    file.write_text("[[route")
    monkeypatch.setenv("CONSTELLATION_ROUTES_FILE", str(file))

    assert run(command) == 2

    (line,) = capsys.readouterr().err.splitlines()
    assert "routes.toml is not TOML" in line


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_what_completes(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    assert "_CONSTELLATION_WS_COMPLETE" in capsys.readouterr().out
    assert run(["completion", "dos"]) == 2


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        ("constellation-ws sta", {"status"}),
        ("constellation-ws doctor --o", {"--origin"}),
        ("constellation-ws publish chat:de", {"chat:deleted"}),
    ],
)
def test_what_a_shell_asks_for_is_completed(
    words: str,
    completions: set[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("_CONSTELLATION_WS_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    with pytest.raises(SystemExit):
        run([])
    assert set(capsys.readouterr().out.split()) == completions


def test_a_faulty_setting_does_not_disturb_a_shell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WS_PORT", "seven")
    assert loading.channels("chat") == []
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "words", [["schema", "--typescript"], ["--help"], ["schema", "--help"], ["completion", "zsh"]]
)
def test_a_command_whose_reader_has_gone_says_so_by_its_exit_code_alone(words: list[str]) -> None:
    """In a process of its own: Typer ended it before `main` saw the fault."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stdout:
        done = subprocess.run(
            [sys.executable, "-m", "constellation_ws", *words],
            stdout=stdout, stderr=subprocess.PIPE, timeout=60, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_command_ends_on_sigterm_by_a_handler_as_process_1_gets_no_other() -> None:
    script = (
        "import os, signal; from constellation_ws.cli import main; "
        "main.run = lambda _: os.kill(os.getpid(), signal.SIGTERM); main.main()"
    )

    ended = subprocess.run([sys.executable, "-c", script], check=False, timeout=60)

    assert ended.returncode == 143, "without a handler it is -15, and as process 1 nothing happens"
