"""`python -m tests.ingress`: a large crowd behind each proxy, also while pods are replaced.

Exit code 1 where a client noticed what it should not.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.ingress.clients import company
from tests.ingress.proxies.table import PROXIES, running, why_not
from tests.ingress.trial import PEER_SETTINGS, metric, trial
from tests.journey.rollout import PodSpec, Rollout
from tests.processes import Gateway, running_valkey

_PATIENCE_SECONDS = 60.0
_METRICS = {
    "moved": ("constellation_moved_sessions_total", {"direction": "in", "outcome": "moved"}),
    "declined": ("constellation_moved_sessions_total", {"direction": "in", "outcome": "declined"}),
    "failed": ("constellation_moved_sessions_total", {"direction": "in", "outcome": "failed"}),
    "forwarded": ("constellation_forwarded_requests_total", {}),
    "tunnels": ("constellation_tunnels", {}),
}


def main() -> int:
    # What was started is ended by whoever started it: a terminated run has to get that far.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    asked = _asked()
    failed = []
    for name in asked.proxy or PROXIES:
        if reason := why_not(name):
            print(f"{name}: skipped: {reason}", flush=True)
        elif not asyncio.run(_is_well(name, asked)):
            failed.append(name)
    print(f"FAILED: {', '.join(failed)}" if failed else "all is well")
    return 1 if failed else 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.ingress")
    parser.add_argument("--proxy", action="append", choices=PROXIES, help="only this; repeatable")
    parser.add_argument("--pods", type=int, default=3, help="gateways")
    parser.add_argument("--clients", type=int, default=300, help="with default options")
    parser.add_argument("--polling", type=int, default=60, help="clients that only poll")
    parser.add_argument("--rate", type=float, default=500, help="events per second")
    parser.add_argument(
        "--within", type=float, default=5, help="seconds until a default client is on a WebSocket"
    )
    parser.add_argument("--seconds", type=float, default=10, help="of events after the upgrades")
    parser.add_argument("--roll", action="store_true", help="replace each pod under load")
    parser.add_argument("--kill", action="store_true", help="kill each pod under load")
    parser.add_argument("--keep", type=Path, help="folder for the logs of all processes")
    asked = parser.parse_args()
    if asked.kill and asked.pods < 2:
        # What Redis has handed over to the only pod dies with it.
        parser.error("--kill needs two pods")
    return asked


async def _is_well(name: str, asked: argparse.Namespace) -> bool:
    """Try one proxy, and print the verdict on it."""
    with tempfile.TemporaryDirectory(prefix="ingress-") as scratch:
        folder = (asked.keep or Path(scratch)) / name
        shutil.rmtree(folder, ignore_errors=True)  # what an earlier run has kept
        faults = await _tried(name, folder, asked)
    for fault in faults:
        print(f"  {fault}")
    print(f"{name}: {'FAILED' if faults else 'well'}", flush=True)
    return not faults


async def _tried(name: str, folder: Path, asked: argparse.Namespace) -> Sequence[str]:
    spec = PodSpec(PEER_SETTINGS, "/readyz", pre_stop_seconds=1, grace_seconds=60)
    with running(name, folder) as proxy, running_valkey() as valkey:
        rollout = Rollout(folder, spec, valkey.url, [proxy])
        try:
            await rollout.start(asked.pods)
            disturb = [rollout.roll] * asked.roll + [rollout.crash] * asked.kill
            seen = await trial(
                company(name, proxy.port, asked.clients, asked.polling),
                valkey.port,
                asked.rate,
                disturb=disturb,
                upgrade_seconds=asked.within,
                seconds_afterwards=asked.seconds,
                patience=_PATIENCE_SECONDS,
                keep=folder,
            )
            print(f"{name}:", *seen.lines(), await _counted(rollout.endpoints), sep="\n  ")
            return [*seen.faults, *_strays(rollout.all_pods)]
        finally:
            await rollout.stop()


async def _counted(pods: Sequence[Gateway]) -> str:
    """What the pods that live have counted."""
    counts = {what: await metric(pods, name, **labels) for what, (name, labels) in _METRICS.items()}
    return ", ".join(f"{what} {count:.0f}" for what, count in counts.items())


def _strays(pods: Sequence[Gateway]) -> list[str]:
    """What pods wrote that is no log record, such as a traceback; each line once."""
    lines = Counter(line for pod in pods for line in pod.stray_lines())
    return [f"a pod wrote, {count} times: {line}" for line, count in lines.items()]


if __name__ == "__main__":
    sys.exit(main())
