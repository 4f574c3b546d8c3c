"""Resuming on a real Valkey: what is proven to have arrived, and what becomes of the rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable

import pytest
from redis.asyncio import Redis

from constellation_ws.auth.identity import Identity
from constellation_ws.delivery.rooms import Member, Rooms
from constellation_ws.delivery.welcome import Welcome
from constellation_ws.log.ids import LogId, format_id
from constellation_ws.log.layout import Logged
from constellation_ws.log.logs import Logs
from constellation_ws.log.state import ONLY_ASKING
from constellation_ws.messages import commands
from constellation_ws.messages.events import Room, Sid, UserId, user_room
from constellation_ws.observability.metrics import Metrics
from constellation_ws.recovery.history import History
from constellation_ws.recovery.missed import MissedEvents
from constellation_ws.recovery.replay import Meaning, ReplayLimits
from constellation_ws.recovery.resume import Offsets, Recovery
from constellation_ws.recovery.sessions import Sessions
from constellation_ws.recovery.store import SessionStore
from constellation_ws.redis_io.names import DEFAULT
from constellation_ws.runtime.direct import NOT_DIRECT
from tests.pod_parts import make_log, produce, trim
from tests.spawning import spawn
from tests.tables import compiled
from tests.waiting import PATIENCE_SECONDS, cancelled, eventually

USER = UserId("u")
CHAT, KEPT = Room("chat:c"), Room("chat:kept")
TABLE = compiled()


class Outlet:
    """A connection on which nothing is sent here."""

    def __init__(self) -> None:
        self.closed = False
        self.descriptor = NOT_DIRECT
        self.write: Callable[[bytes], None] | None = None
        self.pending: bytes | list[bytes] | None = None
        self.is_flushed = True

    def queue(self, packet: str) -> None:
        raise AssertionError("nothing is sent here")


class Pod:
    """What of a pod lets clients resume."""

    def __init__(self, redis: Redis, name: str, **settings: object) -> None:
        self.redis = redis
        self.metrics = Metrics()
        self.log = make_log(redis, self.metrics)
        self.logs = Logs([self.log])
        self.history = History(self.log, 1 << 20, _read, 60)
        self.recent = self.history.recent
        self.store = SessionStore(redis, spawn, self.log.state.mark)
        self.rooms = Rooms()
        self.gaps: list[str] = []
        self.closed: list[tuple[Member, str]] = []
        self.fenced: list[tuple[str, str]] = []
        self.revoked: frozenset[str] | None = frozenset()
        """What of anybody's rooms is revoked, as whoever knows says it."""
        self.asked: list[tuple[Identity, set[str]]] = []
        self.sessions = Sessions(self.logs, self.store, self.rooms, window_seconds=60)
        self.missed_events = MissedEvents(self.logs, [self.history], ReplayLimits(10, 10_000))
        self.recovery = Recovery(
            name, self.logs, self.store, self.sessions, self.missed_events, self.rooms,
            self.metrics,
            offsets=Offsets.AUTO,
            close=lambda member, reason: self.closed.append((member, reason)),
            fence=lambda sid, owner: self.fenced.append((sid, owner)),
            find_revoked=self._find_revoked,
        )  # fmt: skip
        self.tasks = [
            asyncio.create_task(self.log.run(self)),
            asyncio.create_task(self.store.run(lambda: self.log.delivered, self.recovery.fence)),
            asyncio.create_task(self.history.read_back()),
            asyncio.create_task(self.history.confirm()),
        ]
        self._names = iter(range(1_000))

    async def _find_revoked(
        self, identity: Identity, rooms: Iterable[str]
    ) -> frozenset[str] | None:
        self.asked.append((identity, set(rooms)))
        return self.revoked

    def deliver(self, batch: list[Logged]) -> None:
        self.recent.append(batch)

    def begin_after(self, after: LogId) -> None:
        self.recent.start(after)

    def report_gap(self, reason: str) -> None:
        self.gaps.append(reason)

    async def connect(self, **auth: object) -> tuple[Member, Welcome]:
        """Do what the namespace does with a client that connects."""
        name = f"{id(self)}-{next(self._names)}"
        member = Member(Sid(f"s{name}"), f"e{name}", Outlet())
        self.rooms.add(member)
        member.user, member.identity = USER, Identity(USER)
        welcome = await self.recovery.open(member, USER, auth)
        self.rooms.enter(member, user_room(USER))
        return member, welcome

    async def lose(self, member: Member) -> None:
        self.sessions.leave(member, for_good=False)
        self.rooms.remove(member)
        await self.sessions.flush()

    async def enter(self, member: Member, room: Room) -> None:
        self.rooms.enter(member, room)
        assert await self.sessions.joined(member, room)

    async def log_event(
        self, channel: str = "chat:new", event: bytes = b'{"userId":"u","chatId":"c"}'
    ) -> bytes:
        """Log an event, for the user if need be, and wait until this pod has delivered it."""
        before = self.log.delivered
        await produce(self.redis, channel, event)
        await eventually(lambda: self.log.delivered > before, PATIENCE_SECONDS, "it is delivered")
        return format_id(self.log.delivered)

    def outcomes(self, outcome: str) -> float:
        value: float = self.metrics.recoveries.labels(outcome)._value.get()
        return value


def _read(channel: bytes, payload: bytes) -> Meaning:
    if channel == DEFAULT.commands.encode():
        return commands.decode(payload)
    return TABLE[channel.decode()].route(payload)


@pytest.fixture
async def pods(redis: Redis) -> AsyncIterator[tuple[Pod, Pod]]:
    two = Pod(redis, "a"), Pod(redis, "b")
    await eventually(
        lambda: all(pod.log.following.disconnected_at is None for pod in two),
        PATIENCE_SECONDS,
        "both follow the log",
    )
    yield two
    await cancelled(task for pod in two for task in pod.tasks)


async def test_who_counts_for_itself_says_where_it_goes_on(pods: tuple[Pod, Pod]) -> None:
    a, b = pods
    member, welcome = await a.connect(recovery=True)
    seen = await a.log_event()
    missed = [await a.log_event() for _ in range(2)]
    await a.lose(member)

    again, resumed = await b.connect(pid=welcome.pid, offset=seen.decode())

    assert resumed.is_recovered
    assert (resumed.pid, again.sid, again.has_offsets) == (welcome.pid, member.sid, True)
    assert [frame.offset for frame in resumed.missed] == missed


async def test_a_session_can_be_resumed_as_soon_as_its_client_is_answered(
    pods: tuple[Pod, Pod],
) -> None:
    """The pod may be killed, or the line cut, right after the answer."""
    a, b = pods
    member, welcome = await a.connect(recovery=True)
    again, resumed = await b.connect(pid=welcome.pid)
    assert resumed.is_recovered
    assert (again.sid, again.rooms) == (member.sid, {user_room(USER)})


async def test_what_an_unchanged_client_was_sent_before_its_last_pong_has_arrived(
    pods: tuple[Pod, Pod],
) -> None:
    a, b = pods
    member, welcome = await a.connect()
    await a.log_event()
    a.sessions.pinged(member.eio_sid)
    a.sessions.ponged(member.eio_sid)
    await a.lose(member)
    assert (await b.connect(pid=welcome.pid))[1].missed == []
    assert b.outcomes("recovered") == 1


async def test_where_it_is_not_known_what_has_arrived_an_unchanged_client_is_told(
    pods: tuple[Pod, Pod],
) -> None:
    a, b = pods
    member, welcome = await a.connect()
    a.sessions.pinged(member.eio_sid)
    await a.log_event()
    a.sessions.ponged(member.eio_sid)
    await a.lose(member)
    _, told = await b.connect(pid=welcome.pid)
    assert not told.is_recovered
    assert told.pid != welcome.pid
    assert b.outcomes("unproven") == 1


@pytest.mark.parametrize("reads_on", [True, False])
async def test_what_a_dead_pod_may_have_sent_is_unproven_where_the_log_is_read_late(
    pods: tuple[Pod, Pod], monkeypatch: pytest.MonkeyPatch, *, reads_on: bool
) -> None:
    """The pod that resumes has not read yet what the other one has delivered."""
    patience = PATIENCE_SECONDS if reads_on else 0.2
    monkeypatch.setattr("constellation_ws.recovery.missed._REACH_SECONDS", patience)
    a, b = pods
    _, welcome = await a.connect()
    await a.sessions.flush()
    await cancelled([b.tasks.pop(0)])
    await a.log_event()
    connecting = asyncio.create_task(b.connect(pid=welcome.pid))
    if reads_on:
        await eventually(lambda: b.log._is_awaited, PATIENCE_SECONDS, "it waits for the log")
        b.tasks.append(asyncio.create_task(b.log.run(b)))
    _, told = await connecting
    assert not told.is_recovered
    assert b.outcomes("unproven") == 1


@pytest.mark.parametrize("is_answered", [True, False])
async def test_a_close_that_the_client_answers_is_proof_and_one_before_is_none(
    pods: tuple[Pod, Pod], is_answered: bool
) -> None:
    """Whatever the kernel has accepted: a proxy may have it, and the client not."""
    a, b = pods
    member, welcome = await a.connect()
    await a.log_event()
    a.sessions.closing(member)
    missed = await a.log_event()
    await a.lose(member)
    if is_answered:
        a.sessions.close_acknowledged(member.eio_sid)
        await a.sessions.flush()
    _, resumed = await b.connect(pid=welcome.pid)
    assert resumed.is_recovered is is_answered
    assert [frame.offset for frame in resumed.missed] == ([missed] if is_answered else [])


async def test_a_client_behind_a_stalled_proxy_gets_what_it_says_that_it_lacks(
    pods: tuple[Pod, Pod],
) -> None:
    """Its events were written and its connection was closed: none of that is proof."""
    a, b = pods
    member, welcome = await a.connect(recovery=True)
    seen = await a.log_event()
    stalled = await a.log_event()
    a.sessions.closing(member)
    await a.lose(member)
    await b.log.reached(a.log.delivered)
    _, resumed = await b.connect(pid=welcome.pid, offset=seen.decode())
    assert [frame.offset for frame in resumed.missed] == [stalled]


async def test_what_the_log_does_not_hold_any_more_is_never_recovered_in_part(
    pods: tuple[Pod, Pod],
) -> None:
    a, b = pods
    member, welcome = await a.connect(recovery=True)
    for _ in range(3):
        await a.log_event()
    await trim(a.log, 3_600, 1)
    await a.lose(member)
    b.recent.start(b.log.delivered)  # as of a pod that has just started
    assert not (await b.connect(pid=welcome.pid))[1].is_recovered
    assert b.outcomes("gone") == 1


async def test_a_pod_that_has_just_started_reads_back_what_was_missed(
    pods: tuple[Pod, Pod],
) -> None:
    a, b = pods
    member, welcome = await a.connect(recovery=True)
    missed = [await a.log_event() for _ in range(3)]
    await a.lose(member)
    await b.log.reached(a.log.delivered)
    b.recent.start(b.log.delivered)
    _, resumed = await b.connect(pid=welcome.pid)
    assert [frame.offset for frame in resumed.missed] == missed


async def test_an_offset_from_the_future_is_not_waited_for_long(pods: tuple[Pod, Pod]) -> None:
    a, b = pods
    member, welcome = await a.connect(recovery=True)
    await a.lose(member)
    async with asyncio.timeout(PATIENCE_SECONDS):
        _, told = await b.connect(pid=welcome.pid, offset="99999999999999-0")
    assert not told.is_recovered
    assert b.outcomes("gone") == 1


async def test_an_older_connection_is_fenced_here_and_elsewhere(pods: tuple[Pod, Pod]) -> None:
    a, b = pods
    member, welcome = await a.connect(recovery=True)
    await a.sessions.flush()
    again, _ = await a.connect(pid=welcome.pid)
    assert a.closed == [(member, "fenced")]
    assert member.ticket is None
    await a.sessions.flush()
    await b.connect(pid=welcome.pid)
    assert again.ticket is not None
    assert b.fenced == [(again.sid, again.ticket.owner)]
    a.recovery.fence(again.sid, again.ticket.owner)
    assert a.closed[-1] == (again, "fenced")


async def test_who_leaves_for_good_cannot_come_back(pods: tuple[Pod, Pod]) -> None:
    a, b = pods
    member, welcome = await a.connect(recovery=True)
    a.sessions.leave(member, for_good=True)
    await a.sessions.flush()
    assert not (await b.connect(pid=welcome.pid))[1].is_recovered
    assert b.outcomes("unknown") == 1


async def test_after_a_gap_nobody_is_recovered(pods: tuple[Pod, Pod]) -> None:
    a, b = pods
    member, welcome = await a.connect(recovery=True)
    a.sessions.forget([member])
    await a.sessions.flush()
    assert not (await b.connect(pid=welcome.pid))[1].is_recovered


async def test_nobody_keeps_a_room_by_claiming_to_have_seen_its_end(
    pods: tuple[Pod, Pod],
) -> None:
    a, b = pods
    member, welcome = await a.connect(recovery=True)
    await a.enter(member, CHAT)
    await a.lose(member)
    await produce(a.redis, DEFAULT.commands, commands.encode(commands.Leave(user_room(USER), CHAT)))
    after_the_end = await a.log_event()
    await b.log.reached(a.log.delivered)

    again, resumed = await b.connect(pid=welcome.pid, offset=after_the_end.decode())

    assert (resumed.is_recovered, resumed.missed) == (True, [])
    assert again.rooms == {user_room(USER)}


async def test_a_removal_is_not_forgotten_when_a_close_is_answered_after_it(
    pods: tuple[Pod, Pod],
) -> None:
    """The session is written again, and its pod has gone on with the log since it was lost."""
    a, b = pods
    member, welcome = await a.connect(recovery=True)
    await a.enter(member, CHAT)
    a.sessions.closing(member)
    await a.lose(member)
    await a.log_event(DEFAULT.commands, commands.encode(commands.Leave(user_room(USER), CHAT)))
    await a.log_event("chat:newMessage", b'{"chatId":"c","recipientId":"-"}')
    a.sessions.close_acknowledged(member.eio_sid)
    await a.sessions.flush()

    again, resumed = await b.connect(pid=welcome.pid)

    assert resumed.is_recovered
    assert again.rooms == {user_room(USER)}
    assert resumed.missed == []


async def test_a_session_is_asked_about_and_neither_enters_nor_reads_what_it_has_lost(
    pods: tuple[Pod, Pod],
) -> None:
    a, b = pods
    member, welcome = await a.connect(recovery=True)
    for room in (CHAT, KEPT):
        await a.enter(member, room)
    await a.lose(member)
    in_the_room = b'{"chatId":"%b","recipientId":"-"}'
    await a.log_event("chat:newMessage", in_the_room % b"c")
    kept = await a.log_event("chat:newMessage", in_the_room % b"kept")
    await b.log.reached(a.log.delivered)
    b.revoked = frozenset({CHAT})

    again, resumed = await b.connect(pid=welcome.pid)

    assert b.asked == [(Identity(USER), {CHAT, KEPT})]
    assert resumed.is_recovered
    assert again.rooms == {user_room(USER), KEPT}
    assert [frame.offset for frame in resumed.missed] == [kept]
    await b.lose(again)
    b.revoked = frozenset()
    for_good, _ = await b.connect(pid=welcome.pid)
    assert for_good.rooms == {user_room(USER), KEPT}


async def test_where_nobody_can_tell_what_a_session_has_lost_it_is_not_recovered(
    pods: tuple[Pod, Pod],
) -> None:
    a, b = pods
    member, welcome = await a.connect(recovery=True)
    await a.enter(member, CHAT)
    await a.lose(member)
    b.revoked = None
    again, told = await b.connect(pid=welcome.pid)
    assert (told.is_recovered, again.rooms) == (False, {user_room(USER)})
    assert b.outcomes("access_unavailable") == 1
    b.revoked = frozenset()
    await b.sessions.flush()
    assert not (await b.connect(pid=welcome.pid))[1].is_recovered


async def test_a_room_that_is_lost_while_it_is_asked_about_is_not_entered(
    pods: tuple[Pod, Pod],
) -> None:
    a, b = pods
    member, welcome = await a.connect(recovery=True)
    await a.enter(member, CHAT)
    await a.lose(member)

    async def end_meanwhile(identity: Identity, rooms: Iterable[str]) -> frozenset[str]:
        await b.log_event(DEFAULT.commands, commands.encode(commands.Leave(user_room(USER), CHAT)))
        return frozenset()

    b.recovery._find_revoked = end_meanwhile
    again, resumed = await b.connect(pid=welcome.pid)
    assert (resumed.is_recovered, again.rooms) == (True, {user_room(USER)})


async def test_two_resumes_that_read_back_at_once_do_not_disturb_each_other(
    pods: tuple[Pod, Pod],
) -> None:
    a, b = pods
    first, first_welcome = await a.connect(recovery=True)
    missed = [await a.log_event() for _ in range(2)]
    second, second_welcome = await a.connect(recovery=True)
    missed.append(await a.log_event())
    for member in (first, second):
        await a.lose(member)
    await b.log.reached(a.log.delivered)
    b.recent.start(b.log.delivered)
    resumed = await asyncio.gather(
        b.connect(pid=second_welcome.pid), b.connect(pid=first_welcome.pid)
    )
    offsets = [[frame.offset for frame in welcome.missed] for _, welcome in resumed]
    assert offsets == [missed[2:], missed]


async def test_a_session_that_was_written_before_a_loss_is_not_recovered(
    pods: tuple[Pod, Pod],
) -> None:
    """Redis came back with an older snapshot, say: the session is there, and events are not."""
    a, b = pods
    member, welcome = await a.connect(recovery=True)
    await a.lose(member)
    epoch = b.log.epoch
    assert epoch is not None
    await b.log.state.replace(epoch, "rolled_back", known=epoch)
    b.log.note(await b.log.state.request_lease(ONLY_ASKING, 5))
    await eventually(lambda: b.gaps, PATIENCE_SECONDS, "the pod knows of it")
    assert not (await b.connect(pid=welcome.pid))[1].is_recovered
    assert b.outcomes("other_epoch") == 1


async def test_a_pod_that_has_not_learned_of_a_loss_yet_recovers_nobody_from_before_it(
    pods: tuple[Pod, Pod],
) -> None:
    a, _ = pods
    member, welcome = await a.connect(recovery=True)
    await a.lose(member)
    epoch = a.log.epoch
    assert epoch is not None
    await a.log.state.replace(epoch, "passed_over", known=epoch)
    assert a.log.epoch == epoch
    _, again = await a.connect(pid=welcome.pid)
    assert not again.is_recovered
    assert a.outcomes("other_epoch") == 1


async def test_a_write_that_waited_for_redis_is_of_the_epoch_in_which_it_began(
    pods: tuple[Pod, Pod], redis: Redis
) -> None:
    a, b = pods
    member, welcome = await a.connect(recovery=True)
    await redis.flushall()
    for pod in pods:
        pod.log.note(await pod.log.state.request_lease(ONLY_ASKING, 5))
    await eventually(lambda: a.gaps and b.gaps, PATIENCE_SECONDS, "the pods know of it")
    await a.lose(member)
    assert not (await b.connect(pid=welcome.pid))[1].is_recovered
    assert b.outcomes("other_epoch") == 1


async def test_an_offset_of_a_log_that_was_replaced_is_no_place_in_the_next_one(
    pods: tuple[Pod, Pod], redis: Redis
) -> None:
    """socket.io-client keeps it, and presents it in a new session until an event comes."""
    a, b = pods
    old = b"9%d-0" % (await a.redis.time())[0]
    _, welcome = await a.connect(pid="lost-with-the-log", offset=old.decode())
    assert not welcome.is_recovered
    for pod, lost_on in (b, a), (a, b):
        member, again = await lost_on.connect(pid=welcome.pid, offset=old.decode())
        assert again.pid == welcome.pid
        missed = await pod.log_event()
        await lost_on.lose(member)
        _, resumed = await pod.connect(pid=welcome.pid, offset=old.decode())
        assert resumed.is_recovered
        assert missed in [frame.offset for frame in resumed.missed]


async def test_a_session_that_cannot_be_read_begins_a_new_one_and_is_gone(
    pods: tuple[Pod, Pod], redis: Redis
) -> None:
    a, b = pods
    member, welcome = await a.connect(recovery=True)
    await a.lose(member)
    assert welcome.pid is not None
    await redis.hset(DEFAULT.session(welcome.pid), "record", "{}")
    _, again = await b.connect(pid=welcome.pid)
    assert not again.is_recovered
    assert b.outcomes("unreadable") == 1
    await b.sessions.flush()
    assert not await redis.exists(DEFAULT.session(welcome.pid))


async def test_what_a_client_cannot_digest_does_not_cut_it_off_for_ever(
    pods: tuple[Pod, Pod],
) -> None:
    """Its parser refuses an event, so it reconnects, gets the event again, and so on."""
    a, b = pods
    member, welcome = await a.connect(recovery=True)
    seen = await a.log_event()
    await a.log_event()
    await b.log.reached(a.log.delivered)
    outcomes = []
    for _ in range(20):
        await a.lose(member)
        member, again = await a.connect(pid=welcome.pid, offset=seen.decode())
        outcomes.append(again.is_recovered)
        if not again.is_recovered:
            break
    assert 3 <= sum(outcomes) < 10
    assert a.outcomes("stuck") == 1


async def test_a_client_that_gets_further_each_time_is_recovered_as_often_as_it_likes(
    pods: tuple[Pod, Pod],
) -> None:
    a, _ = pods
    member, welcome = await a.connect(recovery=True)
    offset = await a.log_event()
    for _ in range(12):
        later = await a.log_event()
        await a.lose(member)
        member, again = await a.connect(pid=welcome.pid, offset=offset.decode())
        assert again.is_recovered
        offset = later


async def test_of_two_resumes_of_one_session_the_later_one_gets_it(pods: tuple[Pod, Pod]) -> None:
    a, b = pods
    member, welcome = await a.connect(recovery=True)
    await a.lose(member)
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def wait_at_first(identity: Identity, rooms: Iterable[str]) -> frozenset[str]:
        if not begun.is_set():
            begun.set()
            await may_end.wait()
        return frozenset()

    b.recovery._find_revoked = wait_at_first
    first = asyncio.create_task(b.connect(pid=welcome.pid))
    await begun.wait()
    winner, resumed = await b.connect(pid=welcome.pid)
    may_end.set()
    _, late = await first
    assert (resumed.is_recovered, late.is_recovered) == (True, False)
    assert b.outcomes("superseded") == 1
    assert b.rooms.by_sid(member.sid) is winner
    assert b.closed == []


@pytest.mark.parametrize("joins", [True, False])
async def test_a_join_or_leave_that_cannot_be_written_is_undone(
    pods: tuple[Pod, Pod], redis: Redis, joins: bool
) -> None:
    a, b = pods
    member, welcome = await a.connect(recovery=True)
    if not joins:
        await a.enter(member, CHAT)
    await redis.config_set("maxmemory", "1")
    try:
        if joins:
            a.rooms.enter(member, CHAT)
            assert not await a.sessions.joined(member, CHAT)
        else:
            assert not await a.sessions.left(member, CHAT)
        assert (CHAT in member.rooms) is not joins
    finally:
        await redis.config_set("maxmemory", "0")
    await a.lose(member)
    again, resumed = await b.connect(pid=welcome.pid)
    assert resumed.is_recovered
    assert (CHAT in again.rooms) is not joins


@pytest.mark.parametrize("joins", [True, False])
async def test_a_member_that_leaves_while_a_join_or_leave_is_written_is_left_alone(
    pods: tuple[Pod, Pod], redis: Redis, joins: bool
) -> None:
    a, _ = pods
    member, _ = await a.connect(recovery=True)
    if not joins:
        await a.enter(member, CHAT)
    await redis.config_set("maxmemory", "1")
    try:
        if joins:
            a.rooms.enter(member, CHAT)
        change = a.sessions.joined if joins else a.sessions.left
        changing = asyncio.create_task(change(member, CHAT))
        await asyncio.sleep(0)  # it waits for Redis now
        member.hold(None)  # as where its client is faster than this, and resumes elsewhere
        assert not await changing
    finally:
        await redis.config_set("maxmemory", "0")


async def test_while_redis_cannot_write_nobody_waits_to_connect_or_to_be_refused(
    pods: tuple[Pod, Pod], redis: Redis
) -> None:
    a, _ = pods
    await redis.config_set("maxmemory", "1")
    try:
        member, _ = await a.connect(recovery=True)
        await eventually(lambda: a.store.is_failing, PATIENCE_SECONDS, "it is known to fail")
        started = asyncio.get_running_loop().time()
        for _ in range(20):
            await a.connect(recovery=True)
            a.rooms.enter(member, CHAT)
            assert not await a.sessions.joined(member, CHAT)
        assert asyncio.get_running_loop().time() - started < 20, "a second each, before"
    finally:
        await redis.config_set("maxmemory", "0")
