"""The servers that are measured: each one serves a short real run, in which no delivery is lost.

How fast they are is nobody's business here: other tests run meanwhile.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from importlib.util import find_spec

import pytest

from benchmarks import servers, session
from benchmarks.load import LoadReport
from benchmarks.machine import Cores
from benchmarks.results import Run
from benchmarks.servers import Server
from benchmarks.workloads import WORKLOADS, Options, Workload

pytestmark = pytest.mark.skipif(
    shutil.which("cc") is None and find_spec("ziglang") is None,
    reason="the load generator needs a C compiler",
)

SHORT: Options = {
    "clients": 30,
    "warm-clients": 5,
    "warmup-seconds": 0.1,
    "seconds": 0.3,
    "settle-seconds": 0.1,
}
BY_NAME = {workload.name: workload for workload in WORKLOADS}
UNPINNED = Cores(frozenset(), frozenset())


def short_run(server: Server, name: str) -> Run:
    workload: Workload = BY_NAME[name]
    workload = replace(workload, options=workload.options | SHORT)
    ((run, _),) = session.measure([server], [workload], 1, UNPINNED)
    return run


def report_of(run: Run) -> LoadReport:
    assert run.failure is None
    assert run.report is not None
    return run.report


@pytest.mark.parametrize("name", ["live", "durable", "node", "streams", "sharded", "python"])
def test_every_client_of_a_socketio_server_receives_every_event(name: str) -> None:
    server = servers.OWN[name]({}) if name in servers.OWN else servers.PEERS[name]()

    measured = report_of(short_run(server, "fanout-8")).measured

    assert measured is not None
    assert measured.deliveries == 30 * measured.events > 0


@pytest.mark.parametrize("name", ["fanout-8", "rooms-50", "latency"])
def test_every_client_of_nats_receives_what_is_published_to_its_chat(name: str) -> None:
    measured = report_of(short_run(servers.nats(), name)).measured

    assert measured is not None
    assert measured.deliveries == 30 * measured.events > 0
    assert measured.redis_cpu_s == 0


@pytest.mark.parametrize("name", ["unicast", "unicast-paced"])
def test_one_client_of_nats_receives_what_is_published_to_its_user(name: str) -> None:
    measured = report_of(short_run(servers.nats(), name)).measured

    assert measured is not None
    assert measured.deliveries == measured.events > 0


def test_nats_drops_what_nobody_subscribes_to() -> None:
    measured = report_of(short_run(servers.nats(), "dropped")).measured

    assert measured is not None
    assert measured.events > measured.deliveries > 0


def test_connects_to_nats_are_counted_and_weighed() -> None:
    report = report_of(short_run(servers.nats(), "storm"))

    assert report.connects == 25
    assert min(report.kib_before, report.kib_after) > 0  # Go may have collected meanwhile


def test_what_nats_cannot_do_is_left_out_and_refused_by_the_load_generator() -> None:
    server = servers.nats()

    assert not server.takes("requests")
    refusal = short_run(replace(server, lacks={}), "requests").failure
    assert refusal is not None
    assert "acknowledges nothing" in refusal
