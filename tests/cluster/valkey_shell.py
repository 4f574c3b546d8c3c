"""The release's Valkey, spoken to through `kubectl exec` and its own command line.

A forwarded port would do for a while; a stream that is never idle lasts, and needs no second one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from tests.cluster.kube import Namespace
from tests.cluster.manifests import SERVICE

_PATIENCE_SECONDS = 60.0


class ValkeyShell:
    """One `valkey-cli`: a line for each command in, a line of JSON for each reply out."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._turn = asyncio.Lock()

    async def ask(self, *words: str) -> Any:
        """Run a command and give its reply. AssertionError where Valkey refuses it."""
        (reply,) = await self.ask_all([words])
        return reply

    async def ask_all(self, commands: Sequence[Sequence[str]]) -> list[Any]:
        """Run commands without waiting for each, and give their replies."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        lines = (" ".join(map(_quote, words)) + "\n" for words in commands)
        async with self._turn, asyncio.timeout(_PATIENCE_SECONDS):
            self._process.stdin.write("".join(lines).encode())
            replies = [await self._process.stdout.readline() for _ in commands]
        return [_read(reply) for reply in replies]


def _read(reply: bytes) -> Any:
    try:
        return json.loads(reply)
    except ValueError:
        raise AssertionError(f"Valkey answers {reply.decode()!r}") from None


def _quote(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@asynccontextmanager
async def valkey_shell(namespace: Namespace) -> AsyncIterator[ValkeyShell]:
    """A shell in the Valkey that the release has brought."""
    command = ("exec", "--stdin", f"deployment/{SERVICE}-valkey", "--", "valkey-cli", "--json")
    async with namespace.talking_to(*command) as process:
        yield ValkeyShell(process)
