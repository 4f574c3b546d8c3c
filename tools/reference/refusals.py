"""The texts of refusals: each code with the messages that the source has for it."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache

from tools.reference import ROOT, code, table

SOURCES = ROOT / "service" / "constellation_ws"
_REFUSALS = ("Refusal", "RequestRefused")


def block() -> str:
    rows = ((f"`{word}`", "<br>".join(map(code, texts))) for word, texts in messages().items())
    return table(("code", "messages"), rows)


@cache
def messages() -> dict[str, list[str]]:
    """Give the messages of each code, both sorted; `…` stands for what is filled in."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in SOURCES.rglob("*.py"):
        if path.parent.name == "cli":
            continue  # what `explain` says of a table is not what a client gets
        source = path.read_text("utf-8")
        if any(f"{made}(" in source for made in _REFUSALS):
            for word, text in _refusals(ast.parse(source)):
                found[word].update([text] if text else [])
    return {word: sorted(found[word]) for word in sorted(found)}


def _refusals(module: ast.Module) -> Iterator[tuple[str, str]]:
    """Find the refusals of a module; a message may be a name that was set last before."""
    named: dict[str, str] = {}
    nodes = (node for node in ast.walk(module) if isinstance(node, ast.Assign | ast.Call))
    for node in sorted(nodes, key=lambda node: node.lineno):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                named[name] = text_of(value)
            case ast.Call(
                func=ast.Name(id=made) | ast.Attribute(attr=made),
                args=[ast.Constant(value=str(word)), message, *_],
            ) if made in _REFUSALS:
                name = message.id if isinstance(message, ast.Name) else ""
                yield word, named.get(name) or text_of(message)


def text_of(node: ast.expr) -> str:
    """Give a text as the source has it, `…` for each value in it; empty for what is no text."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            text = "".join(text_of(part) or "…" for part in parts)
            return "" if text.strip("…: .") == "" else text
    return ""
