"""`python -m tests.mutation.signatures SESSION`: skips changes of annotations and signatures.

Annotations are texts (`from __future__ import annotations`), which nothing evaluates. There are
eleven changes for each `|`, which is most of the time that some modules take. And cosmic-ray takes
the `*` before keyword arguments for an operator.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from cosmic_ray.work_db import use_db
from cosmic_ray.work_item import WorkerOutcome, WorkResult

_Place = tuple[int, int]
"""Line and column, as in `ast`."""


def main(session: str) -> None:
    """Skip them in the work of one session, whose paths are relative to the current folder."""
    skipped: dict[Path, list[tuple[_Place, _Place]]] = {}
    with use_db(session) as work:
        for item in work.pending_work_items:
            (change,) = item.mutations
            path = Path(change.module_path)
            if path not in skipped:
                skipped[path] = list(_unevaluated(ast.parse(path.read_text())))
            if any(begin <= change.start_pos < end for begin, end in skipped[path]):
                work.set_result(item.job_id, WorkResult(worker_outcome=WorkerOutcome.SKIPPED))


def _unevaluated(tree: ast.Module) -> Iterator[tuple[_Place, _Place]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body, defaults = node.body[0], (*node.args.defaults, *node.args.kw_defaults)
            if not any(defaults):
                yield (node.lineno, node.col_offset), (body.lineno, body.col_offset)
        found = getattr(node, "returns", None) or getattr(node, "annotation", None)
        if isinstance(found, ast.expr):
            assert found.end_lineno is not None, "parsed from a text"
            assert found.end_col_offset is not None, "parsed from a text"
            yield (found.lineno, found.col_offset), (found.end_lineno, found.end_col_offset)


if __name__ == "__main__":
    main(sys.argv[1])
