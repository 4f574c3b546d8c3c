"""`python -m tools.example chat`: an example with all that it needs, until Ctrl-C.

A Valkey, the gateway with the example's settings, and its service under Node.js. The commands are
printed as somebody would type them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from constellation_ws.cli import local
from constellation_ws.settings import settings

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
HOST = "127.0.0.1"
START_SECONDS = 60.0
LOOK_SECONDS = 0.5
"""Time after which a process that has ended is noticed."""


@dataclass(frozen=True, slots=True)
class Example:
    """One application: what is set for the gateway, and its service."""

    folder: str
    """That of the service, within `examples`."""
    gateway: Mapping[str, str]
    service: Mapping[str, str]
    port: int
    """Where its page is, if that port is free."""
    says: str
    is_port_fixed: bool = False
    """Whether the interface table names the port, so that no other will do."""


def example(name: str) -> Example:
    """Describe an example; each start has secrets of its own."""
    key = secrets.token_hex(32)
    table = str(EXAMPLES / "orders" / "interface.toml")
    known = {
        "chat": Example(
            "chat/api",
            {"CONSTELLATION_AUTH_MODE": "jwt", "CONSTELLATION_JWT_SECRET": key},
            {"JWT_SECRET": key},
            4000,
            "Open it in two windows, join with two names, and write.",
        ),
        # The ports of its services are those of the interface table.
        "orders": Example(
            "orders/shop",
            {"CONSTELLATION_INTERFACE_FILE": table, "BILLING_KEY": key},
            {"BILLING_KEY": key, "TCP_PORT": "4000"},
            4001,
            "Order, pay, and be the courier; with curl, be the kitchen:\n"
            "  curl {page}/orders/o-1/status -H 'content-type: application/json' "
            '-d \'{{"status": "in the oven"}}\'',
            is_port_fixed=True,
        ),
    }
    if name not in known:
        raise SystemExit(f"There is no example {name}: {', '.join(known)}.")
    return known[name]


@contextlib.asynccontextmanager
async def service(one: Example, environment: Mapping[str, str]) -> AsyncIterator[Process]:
    """Hold the service of an example, which listens."""
    node = shutil.which("node")
    if node is None:
        raise SystemExit("The examples need Node.js 20 or newer.")
    process = await asyncio.create_subprocess_exec(
        *(node, "--import", "tsx", "main.ts"),
        cwd=EXAMPLES / one.folder,
        env={**os.environ, **one.service, **environment},
        stdout=PIPE,
        start_new_session=True,  # Ctrl-C is for us: we end it in order
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            if await process.stdout.readline() != b"listening\n":
                raise SystemExit("The service did not start; its message is above.")
        yield process
    finally:
        await local.end(process)


async def run(one: Example, where: local.LocalEndpoint) -> int:
    """Show an example until Ctrl-C; give the exit code."""
    port = local.free_port(one.port, HOST, must=one.is_port_fixed)
    environment = {
        "REDIS_URL": where.redis_url,
        "GATEWAY_URL": where.url,
        "GATEWAY_TCP": f"{HOST}:{where.tcp_port}",
        "PORT": str(port),
    }
    with local.stop_signals() as stop:
        async with local.gateway(where) as gateway:
            if not await local.ready(gateway, where, stop):
                return 0 if stop.is_set() else 1
            async with service(one, environment) as process:
                page = f"http://{HOST}:{port}"
                print(f"\n{how_it_was_started(one, where, environment)}\n", flush=True)
                print(f"  {page}\n\n{one.says.format(page=page)}\nCtrl-C stops it.\n", flush=True)
                while not stop.is_set() and gateway.returncode is process.returncode is None:
                    await local.wait(stop, LOOK_SECONDS)
    return 0 if stop.is_set() else 1


def how_it_was_started(
    one: Example, where: local.LocalEndpoint, environment: Mapping[str, str]
) -> str:
    """Write the commands, with their variables."""
    shown = {"REDIS_URL": where.redis_url, "WS_PORT": str(where.ws_port), **one.gateway}
    gateway = " ".join(f"{name}={value}" for name, value in shown.items())
    own = " ".join(f"{name}={value}" for name, value in {**one.service, **environment}.items())
    return (
        f"  {gateway} constellation-ws serve\n"
        f"  cd examples/{one.folder} && {own} node --import tsx main.ts"
    )


def main() -> None:
    """Run the example that is named."""
    one = example("".join(sys.argv[1:]))
    try:
        with local.place(settings.load(), one.gateway) as where:
            raise SystemExit(asyncio.run(run(one, where)))
    except local.CannotStart as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
