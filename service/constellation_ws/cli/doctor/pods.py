"""Which pods do new clients reach, and is each of them ready?"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from constellation_ws.cli.deployment import Pod
from constellation_ws.cli.doctor.target import Http, Response
from constellation_ws.cli.findings import Finding, failed, ok, skipped, warning
from constellation_ws.cli.lean_client import read_handshake

_HANDSHAKES = 16
"""With four pods in random order one is missed once in a hundred times."""
_BALANCER = (
    "let the balancer check /readyz, and remove pods that fail it; "
    "see `kubectl get endpoints` and that pod's log"
)
_REMEDIES = {
    "draining": f"a pod is being replaced and still gets clients: {_BALANCER}; raise drain.delay",
    "overloaded": "a pod is full: add pods, or raise CONSTELLATION_MAX_CONNECTIONS",
    "connect_rate": "too many new clients at once: they come back by themselves; add pods",
    "too_many_from_address": "set CONSTELLATION_TRUSTED_PROXIES: all clients seem to have the "
    "proxy's address",
}


@dataclass(frozen=True, slots=True)
class Met:
    """How some handshakes ended."""

    pods: Counter[str]
    refusals: Counter[str]


async def meet(http: Http) -> Met:
    """Open some sessions, and close them."""
    answers = await asyncio.gather(*(http.handshake() for _ in range(_HANDSHAKES)))
    pods, refusals, sids = Counter[str](), Counter[str](), list[str]()
    for answer in answers:
        try:
            handshake = read_handshake(answer.text)
        except ValueError:
            refusals[str(answer)] += 1
        else:
            pods[handshake.pod] += 1
            sids.append(handshake.sid)
    await asyncio.gather(*(http.post(sid, "1") for sid in sids))
    return Met(pods, refusals)


def judge_handshakes(met: Met) -> Iterator[Finding]:
    """Say which pods were met, and what refused."""
    if met.pods:
        names = ", ".join(f"{pod} ({count})" for pod, count in sorted(met.pods.items()))
        yield ok("pods", f"{len(met.pods)} met in {_HANDSHAKES} handshakes: {names}")
    for reason, count in met.refusals.items():
        code = reason.rpartition(" ")[2]
        remedy = _REMEDIES.get(code, f"a pod is not ready or does not answer: {_BALANCER}")
        detail = f"{count} of {_HANDSHAKES} handshakes were refused: {reason}"
        yield failed("pods", f"{detail}: one pod or more is not ready", remedy)


def judge_registered(met: Met, registered: Sequence[Pod]) -> Iterator[Finding]:
    """Compare who was met with the pods that have registered in Redis."""
    living = [pod for pod in registered if not pod.is_leaving]
    unmet = [pod for pod in living if pod.instance not in met.pods]
    strangers = set(met.pods) - {pod.instance for pod in registered}
    if strangers:
        remedy = "compare REDIS_URL and CONSTELLATION_REDIS_PREFIX here with the pods' settings"
        yield failed("pods", f"not registered in this Redis: {', '.join(strangers)}", remedy)
    elif unmet and len(met.pods) == 1 and not met.refusals:
        remedy = f"fine if the balancer is sticky by address; else {_BALANCER}"
        yield warning("pods", f"{len(living)} are registered, only one gets clients", remedy)
    elif unmet:
        names = ", ".join(f"{pod.instance} ({pod.address or 'no address'})" for pod in unmet)
        yield warning("pods", f"registered, but no client reaches them: {names}", _BALANCER)


async def check_readiness(http: Http) -> Finding:
    """Ask for /readyz as often: a balancer should lead to pods that are ready."""
    url = f"{http.target.url}/readyz"
    answers = await asyncio.gather(*(http.ask(url) for _ in range(_HANDSHAKES)))
    reports = [found for answer in answers if (found := _report(answer)) is not None]
    if not reports:
        return skipped("readiness", "/readyz is not forwarded, as it should be from outside")
    failing = [one for one in reports if one.get("failing")]
    if not failing:
        return ok("readiness", f"ready in {len(reports)} of {len(reports)} answers")
    causes = {
        f"{one['name']}: {one['detail']}"
        for report in failing
        for one in report["checks"]
        if not one["ok"]
    }
    detail = f"not ready in {len(failing)} of {len(reports)} answers: {'; '.join(sorted(causes))}"
    return failed("readiness", detail, _BALANCER)


def _report(answer: Response) -> Mapping[str, Any] | None:
    try:
        said = json.loads(answer.text)
    except ValueError:
        return None
    return said if isinstance(said, dict) and "checks" in said else None
