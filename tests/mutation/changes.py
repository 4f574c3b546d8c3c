"""The changes of a module that cosmic-ray can make, but those that say nothing about its tests."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from contextlib import suppress
from difflib import ndiff
from pathlib import Path
from typing import NamedTuple

import cosmic_ray.commands
from cosmic_ray.mutating import MutationVisitor
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import use_db

_LEFT_OUT = re.compile(
    # The same for values of an Enum, None and singletons.
    "core/ReplaceComparisonOperator_(Is_Eq|IsNot_NotEq|"
    # Like `==` and `!=` for the small numbers of tests.
    "(Eq|NotEq|LtE?|GtE?)_(Is|IsNot))|"
    # Where these are found, the other nine of each operator are: they were half of all changes.
    "core/ReplaceBinaryOperator_(?!Add_Sub|Sub_Add|Mul_(FloorDiv|Add)|Div_(Mul|FloorDiv)|"
    "FloorDiv_(Mul|Div)|Mod_(Mul|FloorDiv)|Pow_(Mul|Add)|LShift_RShift|RShift_LShift|"
    "BitOr_BitAnd|BitAnd_BitOr|BitXor_BitOr).*"
)
"""Operators of cosmic-ray that say nothing new about the tests."""
_TUNING = {"frozen", "slots", "gc", "kw_only"}
"""Arguments of a class: what they forbid nobody does, and mypy finds most of it."""
_Place = tuple[int, int]
"""Line and column, as in `ast`."""


class Change(NamedTuple):
    """A module with one change."""

    line: int
    text: str
    """Of that line, unchanged, without a comment."""
    operator: str
    before: str
    after: str
    """The whole module."""

    def diff(self) -> list[str]:
        """Give the lines that differ, with a sign each."""
        lines = ndiff(self.before.splitlines(), self.after.splitlines())
        return [line for line in lines if line[0] in "+-"]


def changes_of(path: Path) -> Iterator[Change]:
    """Give the changes of a module, in its order."""
    code = path.read_text()
    skipped = list(_unjudged(ast.parse(code)))
    with use_db(":memory:") as work:
        cosmic_ray.commands.init([path], work, {})
        found = [change for item in work.work_items for change in item.mutations]
    for change in sorted(found, key=lambda change: change.start_pos):
        if _LEFT_OUT.fullmatch(change.operator_name):
            continue
        if any(begin <= change.start_pos < end for begin, end in skipped):
            continue
        operator = get_operator(change.operator_name)(**change.operator_args)
        # AttributeError: cosmic-ray cannot replace an exception with a dot in its name.
        with suppress(SyntaxError, AttributeError), warnings.catch_warnings(action="error"):
            changed = MutationVisitor.mutate_code(code, operator, change.occurrence)
            compile(changed, path, "exec")
            line = change.start_pos[0]
            text = code.splitlines()[line - 1].strip().partition("  # ")[0]
            yield Change(line, text, change.operator_name, code, changed)


def _unjudged(tree: ast.Module) -> Iterator[tuple[_Place, _Place]]:
    """Give the parts of a module whose changes no test is about.

    Annotations are texts (`from __future__ import annotations`), which nothing evaluates. There are
    eleven changes for each `|`, which is most of the time that some modules take. A Protocol is
    read by mypy alone, which also misses a decorator of a class. Assertions hold, also the `strict`
    of `zip`. And cosmic-ray takes the `*` before keyword arguments for an operator.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body, defaults = node.body[0], (*node.args.defaults, *node.args.kw_defaults)
            if not any(defaults):
                yield (node.lineno, node.col_offset), (body.lineno, body.col_offset)
        found = getattr(node, "returns", None) or getattr(node, "annotation", None)
        if isinstance(found, ast.expr):
            yield _ends(found)
        if isinstance(node, ast.Assert) or (isinstance(node, ast.keyword) and node.arg == "strict"):
            yield _ends(node)
        if isinstance(node, ast.ClassDef):
            calls = [one for one in node.decorator_list if isinstance(one, ast.Call)]
            keywords = (*node.keywords, *(word for call in calls for word in call.keywords))
            yield from (_ends(word.value) for word in keywords if word.arg in _TUNING)
            for decorator in node.decorator_list:
                yield (decorator.lineno, 0), _ends(decorator)[1]
            if any("Protocol" in ast.unparse(base) for base in node.bases):
                yield _ends(node)


def _ends(node: ast.expr | ast.stmt | ast.keyword) -> tuple[_Place, _Place]:
    assert node.end_lineno is not None, "parsed from a text"
    assert node.end_col_offset is not None, "parsed from a text"
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)
