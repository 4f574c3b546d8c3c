"""The gateway as it is, save that nothing is counted or timed: what its metrics cost is the rest.

No option of the product does this. The statements on the way of an event that count or time are
left out when its modules are loaded: objects that do nothing in their place would still be called,
and what that costs would pass for no metrics. prometheus_client's own metrics stay: they count what
happens per connection or per request.
"""

import ast
import asyncio
import re
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType

# By module, what the statements that count or time are told by.
COUNTING = {
    "constellation_ws.delivery.relay": r"\.value \+= |self\._timing\.(begin|end)\(|self\._time\(",
    "constellation_ws.delivery.fanout": r"writes \+= |^(unwritten|mixed|gone) \+= 1",
    "constellation_ws.log.redis_log": r"\blag\b",
}


class _LeaveOut(ast.NodeTransformer):
    def __init__(self, pattern: str) -> None:
        self.pattern = re.compile(pattern)
        self.left_out = 0

    def visit(self, node: ast.AST) -> ast.AST:
        """Put nothing in the place of a statement that counts; look into all others."""
        is_simple = isinstance(node, ast.Expr | ast.Assign | ast.AugAssign)
        if is_simple and self.pattern.search(ast.unparse(node)):
            self.left_out += 1
            return ast.copy_location(ast.Pass(), node)
        return self.generic_visit(node)


class _Loader(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        """Compile what is left; nothing is read from a cache or written to one."""
        leave_out = _LeaveOut(COUNTING[fullname])
        tree = leave_out.visit(ast.parse(self.get_data(self.path)))
        if not leave_out.left_out:
            raise SystemExit(f"{fullname} counts nothing that is known here: look at COUNTING.")
        assert isinstance(tree, ast.Module)
        return compile(tree, self.path, "exec")


class _Finder(PathFinder):
    @classmethod
    def find_spec(
        cls,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Find the modules that count; leave all others to who finds them anyway."""
        spec = super().find_spec(fullname, path, target) if fullname in COUNTING else None
        if spec is not None and spec.origin is not None:
            spec.loader = _Loader(fullname, spec.origin)
        return spec


async def _never(note: Callable[[float], None]) -> None:
    await asyncio.Event().wait()


def main() -> None:
    """`constellation-ws serve`, without its metrics."""
    sys.meta_path.insert(0, _Finder)
    from constellation_ws.cli import main as cli  # noqa: PLC0415 - the finder comes first
    from constellation_ws.runtime import loop_lag  # noqa: PLC0415 - the finder comes first

    loop_lag.measure = _never
    sys.argv[1:] = ["serve"]
    cli.main()


if __name__ == "__main__":
    main()
