"""Ways to check a block of one language. Each gives the fault that it finds, or an empty text."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import tempfile
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import typer
import yaml as yaml_parser

from constellation_ws.cli.main import app
from constellation_ws.settings.settings import fields
from tests.documentation.pages import Block
from tests.processes import REPOSITORY
from tests.tables import faults

# What a page may ask a reader to run, besides what the checkout brings.
_TOOLS = {
    "caddy",
    "cat",
    "curl",
    "docker",
    "echo",
    "export",
    "git",
    "helm",
    "kubectl",
    "node",
    "npm",
}
_TOOLS |= {"openssl", "pip", "python", "python3"}
_ASSIGNMENT = re.compile(r"\w+=")
_SEPARATOR = re.compile(r"&&|\|\|?|[;()\n]")


def json_text(block: Block) -> str:
    try:
        json.loads(block.text)
    except ValueError as error:
        return str(error)
    return ""


def http(block: Block) -> str:
    """A request or a response, its head and then JSON, which may be shortened with `…`."""
    head, _, body = block.text.partition("\n\n")
    lines = [line for line in head.splitlines() if not re.match(r"(POST|GET) /|HTTP/1.1 ", line)]
    if wrong := [line for line in lines if not re.match(r"[A-Za-z-]+: \S", line)]:
        return f"no header: {wrong[0]}"
    return "" if "…" in body or not body else json_text(Block(*block_at(block), body))


def block_at(block: Block) -> tuple[str, int, str]:
    return block.page, block.line, block.language


def settings(block: Block) -> str:
    """Variables of the gateway with their values."""
    known = {name for name, _ in fields()}
    named = [line.partition("=")[0] for line in block.text.splitlines()]
    return ", ".join(name for name in named if name not in known)


def python(block: Block) -> str:
    try:
        compile(block.text, str(block), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except SyntaxError as error:
        return str(error)
    return ""


def toml(block: Block) -> str:
    """An interface table, whole or rows to be added to the gateway's own."""
    try:
        text = "" if "extends" in tomllib.loads(block.text) else 'extends = "default"\n'
    except tomllib.TOMLDecodeError as error:
        return str(error)
    with tempfile.TemporaryDirectory() as folder:
        keys = dict.fromkeys(re.findall(r'key_variable = "(\w+)"', block.text), "k")
        return "; ".join(faults(Path(folder), text + block.text, keys))


def yaml(block: Block) -> str:
    """Values of the chart are rendered by a test of the chart; here every key must be one."""
    given: dict[str, Any] = yaml_parser.safe_load(block.text)
    if "apiVersion" in given:
        return ""  # an object, which its own test validates
    return ", ".join(key for key in given if key not in _values())


@cache
def _values() -> dict[str, Any]:
    path = REPOSITORY / "helm" / "constellation-ws" / "values.yaml"
    values: dict[str, Any] = yaml_parser.safe_load(path.read_text("utf-8"))
    return values


def shell(block: Block) -> str:
    """Commands that exist: targets of make, commands and options of the gateway, known tools."""
    text = re.sub(r"\\\n", " ", block.text)
    parsed = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True, check=False)
    if parsed.returncode != 0:
        return parsed.stderr
    return "; ".join(filter(None, map(_command, _commands(text))))


def _commands(text: str) -> list[list[str]]:
    """The commands of a text: what is quoted, and comments, are none."""
    without_comments = re.sub(r"(?m)(^|\s)#.*$", "", text)
    plain = re.sub(r"\$\{\w+[^}]*\}|'[^']*'|\"(?:\\.|[^\"\\])*\"", "_", without_comments)
    parts = (part.split() for part in _SEPARATOR.split(plain))
    return [words for part in parts if (words := _without_settings(part))]


def _without_settings(words: list[str]) -> list[str]:
    while words and _ASSIGNMENT.match(words[0]):
        words = words[1:]
    return words


def _command(words: list[str]) -> str:
    name = words[0].rpartition("/")[2]
    match name:
        case "make":
            targets = [word for word in words[1:] if not _ASSIGNMENT.match(word)]
            return ", ".join(f"make {one}" for one in targets if one not in _targets())
        case "constellation-ws":
            return _own(words[1:])
        case "python" | "python3" if words[1:2] == ["-m"]:
            return "" if _is_module(words[2]) else f"no module {words[2]}"
        case _ if words[0].startswith("-") or words[0] in ("{", "}", "_", "$"):
            return ""
    return "" if name in _TOOLS or words[0].startswith((".venv/bin/", "./")) else f"{name}?"


def _is_module(name: str) -> bool:
    if name in ("pytest", "venv", "pip", "http.server"):
        return True
    path = REPOSITORY.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def _own(words: list[str]) -> str:
    """A command of the gateway, with options that it has."""
    root: Any = typer.main.get_command(app)
    if not words or words[0].startswith("-"):
        return ""
    if words[0] not in root.commands:
        return f"constellation-ws {words[0]}"
    options = {name for of in root.commands[words[0]].params for name in of.opts} | {"-h", "--help"}
    given = [word.partition("=")[0] for word in words[1:] if word.startswith("--")]
    return ", ".join(f"{words[0]} {one}" for one in given if one not in options)


@cache
def _targets() -> frozenset[str]:
    makefile = (REPOSITORY / "Makefile").read_text("utf-8")
    return frozenset(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
