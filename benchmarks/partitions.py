"""`python -m benchmarks.partitions`: a log of three partitions on three primaries, against one.

Three pods and a Redis Cluster of three primaries; nobody is connected, so what is measured is what
the log itself costs. Events of many chats are published at even rates. For each rate and number of
partitions the CPU of each pod and of each primary is printed, and the events a second at which the
busiest process would fill a core, if an event went on to cost what it cost then. Batches grow with
the rate, so that this is too low at low rates.
"""

from __future__ import annotations

import argparse
import json
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import accumulate

import hiredis
from redis import Redis
from redis.crc import key_slot
from redis.exceptions import ResponseError

from benchmarks import machine, servers
from benchmarks.machine import Cores, pinned
from benchmarks.observed import Observed
from benchmarks.soak import say
from benchmarks.valkey import SLOTS, ClusterFailed, Valkey, running_cluster
from constellation_ws.cli.reporting import to_table
from constellation_ws.redis_io.names import DEFAULT

PODS = 3
CHATS = 66
"""A multiple of the primaries: with `--spread` each chat is published on one of them."""
CHANNEL = "chat:newMessage"
_SETTING = "CONSTELLATION_LOG_PARTITIONS"
_WIDE_SECONDS = 40.0
_RECORDED_SECONDS = 10.0
_WARMUP_SECONDS = 1.0
_TICK_SECONDS = 0.001
_POLL_SECONDS = 0.1
_DIFFERENT = 48 * CHATS
_MOST_UNANSWERED = 2_000
_TEXT = "x" * 130
"""Makes an event one of about 300 bytes."""


class Unrecorded(Exception):
    """Events were published and are not in the log; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """The pods, and the primaries: the first of them has the slot of the first partition."""

    pods: tuple[Observed, ...]
    primaries: tuple[Valkey, ...]

    def cpu_seconds(self) -> list[float]:
        """What the pods and then the primaries have used so far."""
        pids = [pod.running.pid for pod in self.pods] + [one.pid for one in self.primaries]
        return [machine.cpu_seconds(pid) for pid in pids]

    def recorded(self) -> float:
        """How many events the pods have recorded so far."""
        return sum(pod.metrics()["constellation_recorded_events_total"] for pod in self.pods)


@dataclass(frozen=True, slots=True)
class Used:
    """CPU in millicores of each process while so many events a second were published."""

    partitions: int
    rate: float
    pods: tuple[float, ...]
    primaries: tuple[float, ...]

    @property
    def busiest(self) -> tuple[str, float]:
        """Which process used most, and how much."""
        return max(
            (("pod", max(self.pods)), ("Redis", max(self.primaries))), key=lambda one: one[1]
        )

    @property
    def full_at(self) -> float:
        """Events a second at which that process fills a core, at this price of an event."""
        return self.rate * 1_000 / self.busiest[1]


def main(arguments: list[str]) -> int:
    """0, or 1 when it could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.partitions", description=__doc__)
    parser.add_argument("--partitions", default="1,3", help="compare these numbers (1,3)")
    parser.add_argument("--rates", default="600,3000,9000", help="events a second (600,3000,9000)")
    parser.add_argument("--seconds", type=float, default=5, help="how long to measure each (5)")
    parser.add_argument(
        "--spread",
        action="store_true",
        help="publish on all primaries, each chat on one; on that of the first partition if not",
    )
    parser.add_argument(
        "--append",
        action="store_true",
        help="append to the streams with XADD, as producers do, in place of publishing",
    )
    asked = parser.parse_args(arguments)
    rates = [float(one) for one in asked.rates.split(",")]
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leave no server behind
    machine.allow_open_files()
    say(f"{PODS} pods, {PODS} primaries. {machine.divide_cores().sentence}")
    rows = []
    try:
        for partitions in map(int, asked.partitions.split(",")):
            with deployment(partitions, machine.divide_cores()) as found:
                way = _Way(partitions, asked.spread, asked.append)
                rows += sustained(found, way, rates, asked.seconds)
    except (servers.ServerFailed, ClusterFailed) as error:
        print(error, file=sys.stderr)
        return 1
    say(compared(rows))
    return 0


@dataclass(frozen=True, slots=True)
class _Way:
    """How events come in."""

    partitions: int
    is_spread: bool
    appends: bool


def sustained(found: Deployment, way: _Way, rates: Sequence[float], seconds: float) -> list[Used]:
    """Measure at these rates, up to the first at which not all events are recorded in time."""
    rows = []
    for rate in sorted(rates):
        try:
            rows.append(measure(found, way, rate, seconds))
        except Unrecorded as error:
            say(f"partitions: {way.partitions}. {rate:,.0f} events a second are too many: {error}")
            break
    return rows


def compared(rows: Sequence[Used]) -> str:
    """Write what was used, by rate."""
    titles = ("events/s", "partitions", "pods, millicores", "Redis, millicores", "full at")
    lines = [
        (
            f"{one.rate:,.0f}",
            str(one.partitions),
            " ".join(f"{used:.0f}" for used in sorted(one.pods, reverse=True)),
            " ".join(f"{used:.0f}" for used in one.primaries),
            f"{one.full_at:,.0f}, {one.busiest[0]}",
        )
        for one in sorted(rows, key=lambda one: (one.rate, one.partitions))
    ]
    return to_table([titles, *lines])


@contextmanager
def deployment(partitions: int, cores: Cores) -> Iterator[Deployment]:
    """Start the pods on a cluster, and wait until all partitions are in use.

    Raises `ServerFailed` and `ClusterFailed`.
    """
    with ExitStack() as held:
        nodes = held.enter_context(running_cluster(cores.load, PODS))
        settings = {"REDIS_URL": "redis+cluster://" + ",".join(_addresses(nodes))}
        if partitions > 1:
            settings[_SETTING] = str(partitions)
        server = servers.ours(environment=settings)
        primaries = _first_first(nodes)
        pods = tuple(
            Observed(
                held.enter_context(servers.running_server(server, None, cores.server)),
                primaries[0],
                server.folder,
                cores,
            )
            for _ in range(PODS)
        )
        await_width(pods, primaries[0], partitions)
        yield Deployment(pods, primaries)


def _addresses(nodes: Sequence[Valkey]) -> list[str]:
    return [f"127.0.0.1:{node.port}" for node in nodes]


def _first_first(nodes: Sequence[Valkey]) -> tuple[Valkey, ...]:
    """Put the node first that has the slot of the first partition."""
    first = nodes[key_slot(DEFAULT.log.encode()) * len(nodes) // SLOTS]
    return (first, *(node for node in nodes if node is not first))


def await_width(pods: Sequence[Observed], first: Valkey, partitions: int) -> None:
    """Wait until there are so many partitions and each has a recorder; raises `ServerFailed`."""
    deadline = time.monotonic() + _WIDE_SECONDS
    with Redis(port=first.port, decode_responses=True) as redis:
        while time.monotonic() < deadline:
            width = int(redis.hget(DEFAULT.state, "partitions") or 1)
            recorders = sum(pod.metrics()["constellation_recorder"] for pod in pods)
            if width == partitions and recorders >= min(partitions, len(pods)):
                return
            time.sleep(_POLL_SECONDS)
    raise servers.ServerFailed(
        f"Not {partitions} partitions in use after {_WIDE_SECONDS:.0f} s, but {width}, with "
        f"{recorders:.0f} recorders."
    )


def measure(found: Deployment, way: _Way, rate: float, seconds: float) -> Used:
    """Publish at this rate; raises `Unrecorded`."""
    recorded = found.recorded()
    with publisher(found.primaries, way) as publish:
        publish(rate, _WARMUP_SECONDS)
        if not way.appends:
            await_recorded(found, publish.sent, recorded)
        sent = publish.sent
        began, before = time.monotonic(), found.cpu_seconds()
        with pinned(found.pods[0].cores.load):
            publish(rate, seconds)
        after, lasted = found.cpu_seconds(), time.monotonic() - began
        if not way.appends:
            await_recorded(found, publish.sent, recorded)
    used = [(end - begin) / lasted * 1_000 for begin, end in zip(before, after, strict=True)]
    count_of_pods = len(found.pods)
    return Used(
        way.partitions,
        (publish.sent - sent) / lasted,
        tuple(used[:count_of_pods]),
        tuple(used[count_of_pods:]),
    )


def await_recorded(found: Deployment, published: int, before: float) -> None:
    """Wait until as many more are recorded as were published; raises `Unrecorded`."""
    deadline = time.monotonic() + _RECORDED_SECONDS
    while (recorded := found.recorded() - before) < published:
        if time.monotonic() > deadline:
            lost = sum(pod.metrics()["constellation_lost_events_total"] for pod in found.pods)
            counted = f"{recorded:,.0f} were recorded, pods count {lost:,.0f} as lost"
            raise Unrecorded(f"of {published:,} {counted}.")
        time.sleep(_POLL_SECONDS)


class _Line:
    """A connection to one node, and the events of some chats, which it sends again and again."""

    def __init__(
        self, connection: socket.socket, commands: Sequence[bytes], lines_of_reply: int = 1
    ) -> None:
        self._connection = connection
        self._lines_of_reply = lines_of_reply
        self._count = len(commands)
        # Twice, so that a slice never has to begin again; to make events here would take a core.
        self._bytes = memoryview(b"".join((*commands, *commands)))
        self._ends = [0, *accumulate(map(len, (*commands, *commands)))]
        self._next = 0
        self._unanswered = 0
        """In lines."""

    def publish(self, events: int) -> None:
        """Send so many; wait only while too many are unanswered."""
        while events > 0:
            share = min(events, self._count)
            begin, end = self._ends[self._next], self._ends[self._next + share]
            self._connection.sendall(self._bytes[begin:end])
            self._next = (self._next + share) % self._count
            self._unanswered += share * self._lines_of_reply
            events -= share
            self.read_replies(_MOST_UNANSWERED)

    def read_replies(self, most: int) -> None:
        """Read those that have come, and wait until no more than so many are missing."""
        while self._unanswered:
            flags = 0 if self._unanswered > most else socket.MSG_DONTWAIT
            try:
                replies = self._connection.recv(65_536, flags)
            except BlockingIOError:
                return
            self._unanswered -= replies.count(b"\n")


class _Publisher:
    """Publishes events of `CHATS` chats, each chat on one of some nodes."""

    def __init__(self, lines: Sequence[_Line]) -> None:
        self.sent = 0
        self._lines = lines

    def __call__(self, rate: float, seconds: float) -> None:
        """Publish evenly for so long."""
        began, sent = time.monotonic(), 0
        while (lasted := time.monotonic() - began) < seconds:
            due = int(lasted * rate)
            for place, line in enumerate(self._lines):
                line.publish(len(range(sent + place, due, len(self._lines))))
            self.sent += due - sent
            sent = due
            time.sleep(_TICK_SECONDS)
        for line in self._lines:
            line.read_replies(0)


def _event(number: int) -> bytes:
    event = {
        "chatId": f"c{number % CHATS}", "messageId": f"m{number:012}", "senderId": "sender",
        "recipientId": f"u{number % CHATS}", "text": _TEXT, "timestamp": 1_700_000_000_000 + number,
        "mediaType": "image", "mediaUrl": "https://example.com/image.png",
    }  # fmt: skip
    return json.dumps(event, separators=(",", ":")).encode()


def _partition(number: int, partitions: int) -> int:
    """Return the partition of an event's chat."""
    return key_slot(f"chat:c{number % CHATS}".encode()) % partitions


@contextmanager
def publisher(primaries: Sequence[Valkey], way: _Way) -> Iterator[_Publisher]:
    """Connect to the nodes that events go to."""
    with ExitStack() as held:

        def connected(node: Valkey) -> socket.socket:
            return held.enter_context(socket.create_connection(("127.0.0.1", node.port)))

        numbers = range(_DIFFERENT)
        if not way.appends:
            nodes = primaries if way.is_spread else primaries[:1]
            published = [_packed("PUBLISH", CHANNEL, _event(number)) for number in numbers]
            parts = [published[place :: len(nodes)] for place in range(len(nodes))]
            lines = [_Line(connected(one), part) for one, part in zip(nodes, parts, strict=True)]
        else:
            lines = []
            for partition in range(way.partitions):
                log = DEFAULT.of_partition(partition).log
                own = [one for one in numbers if _partition(one, way.partitions) == partition]
                words = ("XADD", log, "*", "channel", CHANNEL, "data")
                appended = [_packed(*words, _event(number)) for number in own]
                node = next(one for one in primaries if _has(one, log))
                lines.append(_Line(connected(node), appended, lines_of_reply=2))
        yield _Publisher(lines)


def _packed(*words: str | bytes) -> bytes:
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # of any length
    return packed


def _has(node: Valkey, key: str) -> bool:
    """Return whether a node has the slot of a key."""
    with Redis(port=node.port) as redis:
        try:
            redis.exists(key)
        except ResponseError:
            return False
        return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
