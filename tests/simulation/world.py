"""One world: gateways, Redis, clients and publishers on a universe, and handles to break them."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

from tests.chaos.events import Events
from tests.chaos.ledger import Ledger, Outcome
from tests.chaos.losses import Counts
from tests.chaos.names import SETTINGS
from tests.chaos.timeline import TAKE_OVER_MS, Strike, Timeline
from tests.partitions import LOG_PARTITIONS, log_of
from tests.simulation import announcements, tokens
from tests.simulation.announcements import Announcements
from tests.simulation.backend import Backend
from tests.simulation.clients import VirtualClient
from tests.simulation.hosts import Host, Universe
from tests.simulation.network import Connection, Network
from tests.simulation.partitions import recorders_of, width_of
from tests.simulation.pods import Pod
from tests.simulation.population import SPARE_ROOMS, populate
from tests.simulation.publishers import Pace, Publishers
from tests.simulation.redis_model.server import RedisModel
from tests.simulation.redis_model.streams import Id, Stream
from tests.simulation.tokens import Issuer

PACKING = "CONSTELLATION_LOG_PACKING"
LISTENERS = "CONSTELLATION_LOG_LISTENERS"
_LISTENERS = 3
_LOOK_SECONDS = 0.5
_PROBE_SECONDS = 0.5
"""How often readiness is looked at; an ingress knows no more than that."""
_TOGGLE_SECONDS = 0.4
_UNDER_WAY_MS = 50
"""For so long a message may be under way."""
_SILENCE_SECONDS = 15.0
"""After so long a pod has replaced a silent subscription."""
_WITNESS_MS = 1_000
"""A pod that has lived for so long knows which others did."""
_RETAINED_MS = 40_000
"""Nothing that hinders recording lasts for so long."""


@dataclass(frozen=True, slots=True)
class Size:
    """How many of everything."""

    pods: int = 3
    clients: int = 30
    rooms: int = 5


class World:
    """What a plan strikes, and what is judged in the end."""

    def __init__(
        self,
        seed: str,
        size: Size,
        settings: Mapping[str, object] | None = None,
        pace: Pace = Pace.STEADY,
        *,
        has_tokens: bool = False,
        announces: bool = False,
        partitions: int = 1,
        begins_with: int | None = None,
    ) -> None:
        """`partitions` are those of the log; pods begin with fewer, until all are replaced."""
        self.notes: list[tuple[int, str, str]] = []
        """What hosts logged and what struck, with the time in milliseconds, and where."""
        self.troubles: list[str] = []
        self.universe = Universe(seed, self._unhandled)
        self.network = Network()
        self.timeline = Timeline()
        self.held: list[tuple[str, float, float]] = []
        """Pods that what Redis publishes did not reach, and from when until when, in ms."""
        self.passed_over_ms: set[int] = set()
        """When events were published that only pods received which stood still soon after."""
        self.doubted: list[bytes] = []
        """What was published and may be lost in silence."""
        self.traceless: set[str] = set()
        """Pods of the former release that have ended and could not say what they had received:
        they know no seats, so that nobody learns of what only they had."""
        self.ledger = Ledger()
        self.counts = Counts()
        self.settings = {
            **SETTINGS,
            "CONSTELLATION_LOG_LEVEL": "info",
            **(tokens.SETTINGS if has_tokens else {}),
            **(announcements.SETTINGS if announces else {}),
            **(settings or {}),
        }
        self.announcements = Announcements() if announces else None
        self.director = Host(self.universe, "director", "10.9.0.1", self.network)
        self.redis = RedisModel()
        self._redis_starts = itertools.count(1)
        self._redis_started_ms = 0
        self._unseen_ms: list[tuple[int, int]] = []
        """From when until when a Redis ran that no pod has connected to."""
        self.start_redis()
        self._pod_numbers = itertools.count()
        self._size = size
        self.partitions = partitions
        self._setting = begins_with or partitions
        self._known_width = 1
        self.was_widened = False
        """Whether pods had fewer partitions when they began."""
        self.pods: list[Pod] = []
        self._endpoints: list[Pod] = []
        self._turn = itertools.count()
        crowd, publishing = (
            Host(self.universe, name, f"10.9.{n}.2", self.network)
            for n, name in enumerate(("clients", "publishers"))
        )
        named, audience = populate(size.clients, size.rooms)
        self.clients = [
            VirtualClient(
                one,
                crowd,
                self.choose_pod,
                Issuer(self.universe, one.user, are_short=number % 3 == 1) if has_tokens else None,
                is_slow=number % 5 == 0,
                refreshes=number % 2 == 0,
            )
            for number, one in enumerate(named)
        ]
        events = Events(self.ledger, audience, f"{seed} events", 1, in_parts=partitions > 1)
        self.publishers = Publishers(
            publishing, events, self._choose_live_pod, pace, self._width_as_producers_know_it
        )
        self.backend = Backend(
            publishing, self.clients, self._choose_live_pod, Random(f"{seed} backend")
        )
        self._chance = Random(f"{seed} restless")
        self.is_restless = True
        self.crowd = crowd

    def begin(self) -> None:
        """Start the pods. Everything else is started by who runs the world."""
        self.pods = [self.launch() for _ in range(self._size.pods)]
        self.director.call_soon(self._watch)
        self.crowd.call_soon(self._look_after_clients)
        self.crowd.call_soon(self._toggle)

    # Pods

    def launch(self, *, is_former: bool = False) -> Pod:
        """Start another gateway, of this release or of the one before packed entries."""
        number = next(self._pod_numbers)
        address = f"10.0.{number // 250}.{number % 250 + 1}"
        host = Host(self.universe, f"pod-{number}", address, self.network)
        host.is_former = is_former
        settings = self.settings | ({LOG_PARTITIONS: self._setting} if self._setting > 1 else {})
        return Pod(host, settings | {PACKING: "off"} if is_former else settings)

    def widen(self) -> bool:
        """Let pods that are started from now on have all partitions; False if they had already."""
        if self.is_wide:
            return False
        self.note("director", f"pods begin to have {self.partitions} partitions")
        self._setting, self.was_widened = self.partitions, True
        return True

    @property
    def is_wide(self) -> bool:
        """Whether pods that are started now have all partitions."""
        return self._setting == self.partitions

    @property
    def is_packing(self) -> bool:
        """Whether pods pack what they append together, if all others can read it."""
        return self.settings.get(PACKING) == "auto"

    def choose_pod(self) -> str:
        """Choose as an ingress does: in turn, of those that were ready when it looked."""
        if not self._endpoints:
            raise ConnectionRefusedError("no pod is ready")
        return self._endpoints[next(self._turn) % len(self._endpoints)].host.address

    def _choose_live_pod(self) -> str:
        return self.choose_pod()

    def wait(self, seconds: float, is_done: Callable[[], bool], step_seconds: float) -> bool:
        """Let time pass until something is done, looked at after each step; False if it is not."""
        deadline = self.universe.now + seconds
        while not (done := is_done()) and self.universe.now < deadline:
            self.universe.run(step_seconds)
        return done

    def are_pods_well(self) -> bool:
        """Tell whether all pods are ready, all is recorded, and as many listen as should."""
        listeners = sum(pod.is_listener for pod in self.pods)
        is_well = self.is_recorded and listeners == min(self.most_listeners, len(self.pods))
        return all(pod.is_ready for pod in self.pods) and is_well

    @property
    def is_recorded(self) -> bool:
        """Whether exactly one pod records, or one for each partition, spread over the pods."""
        if self._setting == 1:
            return sum(pod.is_recorder for pod in self.pods) == 1
        shares = Counter(recorders_of(self.redis.data, self._setting))
        has_all = shares.total() == self._setting == width_of(self.redis.data)
        return has_all and max(shares.values()) <= -(-self._setting // len(self.pods))

    def _width_as_producers_know_it(self) -> int:
        """Give how many partitions have ever been in use: Redis may have lost that."""
        self._known_width = max(self._known_width, width_of(self.redis.data))
        return self._known_width

    @property
    def most_listeners(self) -> int:
        """How many pods listen, if there are so many; with partitions all do."""
        if self._setting > 1:
            return len(self.pods)
        return int(str(self.settings.get(LISTENERS, _LISTENERS)))

    def is_lost_with(self, *victims: Pod) -> bool:
        """Tell whether no other pod has all that these pods have received.

        Then what they have not recorded is lost, and the pods that are left have to report it.
        As many as listen beyond the number that should are just told to stop, since Redis cannot
        know yet that others are dead.
        """
        heirs = [pod for pod in self.pods if pod.has_all and pod not in victims]
        listeners = sum(pod.is_listener for pod in self.pods)
        return len(heirs) <= max(0, listeners - self.most_listeners)

    def doubt_after_kill(self, victim: Pod) -> None:
        """Take back what PUBLISH promised, where only pods that were killed had received it.

        Until an event is recorded it is in the memory of the pods that were subscribed. It is in
        nobody's on a link that is held: Redis has counted that pod, and has not reached it. Nothing
        is taken back as long as a pod lives that lived then: it has to report the loss.
        """
        left = [pod for pod in self.pods if pod is not victim and pod.is_alive]
        alive = {pod.name for pod in left}
        first_ms = min((pod.began_ms for pod in left), default=self.universe.now_ms)
        recent_ms = self.universe.now_ms - _RETAINED_MS
        for one in self.redis.receipts:
            held = {name for name, begun, over in self.held if begun <= one.at_ms <= over}
            has_witness = one.at_ms >= first_ms + _WITNESS_MS
            if has_witness or one.at_ms < recent_ms or not one.receivers:
                continue
            if not one.receivers & alive - held:
                self.doubted.append(one.payload)

    def doubt_traceless(self) -> None:
        """Take back what PUBLISH promised, where only pods had received it that left no trace."""
        self.doubted += [
            one.payload
            for one in self.redis.receipts
            if one.receivers and one.receivers <= self.traceless
        ]

    def doubt_unseen(self) -> None:
        """Take back what a Redis promised to which no pod has connected before it went back.

        Nothing that a pod can read tells that there was one, and what it had that the next has not.
        """
        for begun_ms, ended_ms in self._unseen_ms:
            for event in self.ledger.accepted():
                if begun_ms <= event.settled_ms <= ended_ms:
                    event.outcome = Outcome.UNKNOWN

    def note_pause(self, names: set[str], began_ms: int) -> None:
        """Note that pods have stood still: a new one may have become the recorder meanwhile.

        That one has nothing of what only they had received, and so it is passed over.
        """
        published = self.publishers.published
        self.passed_over_ms |= {
            one.at_ms
            for one in self.redis.receipts
            if one.payload in published
            and began_ms - TAKE_OVER_MS <= one.at_ms
            and one.receivers
            and one.receivers <= names
        }

    @property
    def last_entries(self) -> list[Id]:
        """The ID of the last entry of each partition of the log."""
        return [stream.last for stream in self._streams]

    def packed_entries(self, after: Sequence[Id]) -> int:
        """Count the packed entries of the log after these IDs."""
        return sum(
            one > seen and fields[0] == b"packed"
            for stream, seen in zip(self._streams, after, strict=True)
            for one, fields in zip(stream.ids, stream.entries, strict=True)
        )

    @property
    def _streams(self) -> list[Stream]:
        logs = [log_of(partition).encode() for partition in range(self.partitions)]
        return [self.redis.data.find(log, Stream) or Stream() for log in logs]

    def is_undisturbed(self, strike: Strike) -> bool:
        """Tell whether no other kind that may lose events touches the time since this one began."""
        others = [one for one in self.timeline.strikes if one.name != strike.name]
        return not Timeline(others).may_lose(strike.start_ms, self.universe.now_ms)

    def note_held(self, name: str, seconds: float) -> None:
        """Note that what Redis publishes does not reach a pod, until it has another connection."""
        now_ms = self.universe.now_ms
        over_ms = now_ms + 1_000 * (seconds + _SILENCE_SECONDS)
        self.held.append((name, now_ms - _UNDER_WAY_MS, over_ms))

    def sample(self, pod: Pod) -> None:
        """Note what a pod has counted as lost."""
        if hasattr(pod, "life"):
            self.counts.sample(pod.name, self.universe.now_ms, pod.lost_count())

    # Redis

    def start_redis(self) -> None:
        """Start Redis with the data that it has, on a new host: connections are not kept."""
        number = next(self._redis_starts)
        now_ms = self.universe.now_ms
        if not self.redis.is_seen:
            self._unseen_ms.append((self._redis_started_ms, now_ms))
        self._redis_started_ms = now_ms
        host = Host(self.universe, "redis", f"10.1.0.{number}", self.network)
        self.network.name("redis", host.address)
        self.redis.start(host)

    def redis_links(self, mark: bytes = b"") -> list[Connection]:
        """Give the connections of gateways to Redis; of those, the ones that have sent this."""
        return [
            one
            for one in self.network.between("", "redis")
            if one.client.host.name.startswith("pod") and _has_sent(one, mark)
        ]

    # Disasters

    @contextmanager
    def strike(
        self, name: str, *, is_lossy: bool, group: str | None = None, delays: bool = False
    ) -> Iterator[Strike]:
        """Be struck for as long as this is held."""
        now_ms = self.universe.now_ms
        strike = self.timeline.begin(Strike(name, now_ms, None, is_lossy, group, delays))
        self.note("director", f"{name} begins")
        try:
            yield strike
        finally:
            strike.end_ms = self.universe.now_ms
            self.note("director", f"{name} ends")

    def note(self, where: str, text: str) -> None:
        """Add a line to the story."""
        self.notes.append((self.universe.now_ms, where, text))

    # What happens all the time

    def _watch(self) -> None:
        """Probe the pods, read their counters, and start those again that have ended."""
        for slot, pod in enumerate(self.pods):
            self.sample(pod)
            if not pod.is_alive and not pod.is_asked_to_stop:
                self.troubles.append(f"{pod.name} ended by itself: {pod.exit_code} {pod.failure}")
                self.pods[slot] = self.launch()
        self._endpoints = [pod for pod in self.pods if pod.is_ready]
        if self.announcements is not None:
            self.announcements.read(self.redis.data)
        self.director.call_later(_PROBE_SECONDS, self._watch)

    def _look_after_clients(self) -> None:
        for client in self.clients:
            client.look()
        self.crowd.call_later(_LOOK_SECONDS, self._look_after_clients)

    def _toggle(self) -> None:
        """Let some client join or leave a room."""
        if self.is_restless:
            client = self._chance.choice(self.clients)
            client.toggle(self._chance.choice(SPARE_ROOMS))
            self.crowd.call_later(_TOGGLE_SECONDS, self._toggle)

    def _unhandled(self, host: Host, reason: str) -> None:
        self.troubles.append(f"{host.name}: {reason}")
        self.note(host.name, reason)


def _has_sent(connection: Connection, mark: bytes) -> bool:
    return not mark or any(mark in data for data in connection.sent)
