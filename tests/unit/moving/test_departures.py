"""A session that moves away: only when nothing of it is half done, and all of it or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from constellation_ws.delivery.rooms import Stage
from constellation_ws.messages.events import NAMESPACE
from constellation_ws.messages.namespaces import DEFAULT_SCOPE
from constellation_ws.moving import departures as departures_module
from constellation_ws.moving.client import MovedClient, Offer, decode_client
from constellation_ws.moving.departures import Departures
from constellation_ws.observability.no_tracing import NO_TRACING
from constellation_ws.recovery.none import NoMoving
from tests.unit.moving.pod import ORDERS, PLACE, USER, Pod, a_ticket
from tests.waiting import PATIENCE_SECONDS, eventually
from tests.websocket_frames import BINARY, TEXT, client_frame


class There:
    """Where the client's WebSocket is: answers offers as a test says."""

    def __init__(self, *answers: bool) -> None:
        self._answers = list(answers)
        self.steps: list[object] = []
        self.meanwhile: Callable[[], None] = lambda: None
        """What happens between an offer and its answer."""
        self.on_keep: Callable[[], None] = lambda: None

    async def offer(self, offer: bytes) -> bool:
        self.steps.append(msgspec.msgpack.decode(offer, type=Offer))
        await asyncio.sleep(0)
        self.meanwhile()
        return self._answers.pop(0)

    def keep(self) -> None:
        self.steps.append("keep")
        self.on_keep()

    def send_session(self, session: bytes) -> None:
        self.steps.append(decode_client(session))

    @property
    def taken(self) -> MovedClient | None:
        """The session, once it is there."""
        last = self.steps[-1] if self.steps else None
        return last if isinstance(last, MovedClient) else None


class Here:
    """A pod with one session on a WebSocket."""

    def __init__(self, *, is_member: bool = True, moving: Any = None) -> None:
        self.pod = Pod()
        self.session, self.line = self.pod.on_websocket()
        self.member = self.pod.with_member(self.session) if is_member else None
        self.departures = Departures(
            self.pod.engine,
            self.pod.server,
            self.pod.members,
            moving or self.pod.log,
            self.pod.metrics,
            self.pod.spawn,
            NO_TRACING,
        )
        self.task: asyncio.Task[None] | None = None

    def begin(self, there: There) -> None:
        self.departures.begin(self.session, there)  # type: ignore[arg-type]  # as far as it is used
        self.task = self.pod.tasks[-1]

    async def move(self, there: There) -> None:
        """Let it try for as long as it does."""
        self.begin(there)
        await self.done()

    async def done(self) -> None:
        assert self.task is not None
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.task

    def hear(self, data: bytes) -> None:
        self.line.protocol.data_received(data)

    @property
    def outcomes(self) -> dict[str, int]:
        found = {one: self.pod.moved("out", one) for one in ("moved", "declined")}
        return {one: count for one, count in found.items() if count}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here is worth a real pause."""
    monkeypatch.setattr(departures_module, "_PAUSES_SECONDS", (0.0, 0.0, 0.0))
    monkeypatch.setattr(departures_module, "_LOOK_SECONDS", 0.0)


def try_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let further attempts follow at once, too."""
    monkeypatch.setattr(departures_module, "_LATER_SECONDS", 0.001)


def give_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no attempt wait for what is half done."""
    monkeypatch.setattr(departures_module, "_QUIET_SECONDS", -1.0)


async def test_a_session_is_given_away_whole_and_nobody_is_told_of_an_end() -> None:
    here, there = Here(), There(True)
    here.session.packets_received, here.session.awaits_pong = 5, True
    await here.move(there)
    offer, taken = there.steps
    assert offer == Offer(PLACE)
    assert isinstance(taken, MovedClient)
    assert taken.session.sid == here.session.sid
    assert (taken.session.packets_received, taken.session.awaits_pong) == (5, True)
    assert taken.session.address == "10.0.0.9"
    (membership,) = taken.memberships
    assert (membership.member.sid, membership.member.identity.user) == ("sio", USER)
    assert membership.member.rooms == ["chat:7", "user:u"]
    assert membership.ticket == a_ticket()
    assert here.outcomes == {"moved": 1}
    await here.pod.settled()
    assert here.pod.lost == []


async def test_nothing_of_a_session_is_left_where_it_was() -> None:
    here = Here()
    await here.move(There(True))
    engine = here.pod.engine
    assert here.session.closed
    assert engine.sockets == {}
    assert len(here.pod.members.rooms) == 0
    assert here.pod.server.environ == {}
    assert here.pod.admission.open_sockets == 0
    here.session.send_message("late")
    here.hear(client_frame(TEXT, b"42/chats,[1]"))
    here.line.lose()
    await here.pod.settled()
    assert here.line.taken() == b""
    assert here.pod.lost == []


async def test_a_session_without_a_namespace_moves_too() -> None:
    here, there = Here(is_member=False, moving=NoMoving()), There(True)
    await here.move(there)
    assert there.steps[0] == Offer(None)
    assert there.taken is not None
    assert there.taken.memberships == []
    assert here.pod.engine.sockets == {}


async def test_without_a_log_a_member_stays_and_is_not_offered() -> None:
    here, there = Here(moving=NoMoving()), There()
    await here.move(there)
    assert there.steps == []
    assert here.outcomes == {"declined": 1}
    assert not here.session.closed


async def test_a_session_that_nobody_takes_stays_as_it_was() -> None:
    here, there = Here(), There(False, False, False)
    here.begin(there)
    declined = {"declined": 3}
    await eventually(lambda: here.outcomes == declined, PATIENCE_SECONDS, "it was declined thrice")
    assert there.steps == [Offer(PLACE)] * 3
    assert list(here.pod.engine.sockets) == [here.session.sid]
    here.session.send_message("hello")
    assert here.line.taken()


async def test_a_session_that_was_declined_moves_at_a_later_attempt() -> None:
    here, there = Here(), There(False, True)
    await here.move(there)
    assert there.taken is not None
    assert here.outcomes == {"declined": 1, "moved": 1}


async def test_who_is_about_to_connect_is_not_moved_before_that_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    try_again_soon(monkeypatch)
    here, there = Here(), There(True)
    assert here.member is not None
    here.member.stage = Stage.CONNECTING
    here.begin(there)
    await here.pod.settled()
    assert there.steps == []
    here.member.connect()
    await here.done()
    assert there.taken is not None


async def test_a_session_is_offered_once_its_request_is_answered() -> None:
    here, there = Here(), There(True)
    may_answer = asyncio.Event()
    steps = there.steps

    async def join(sid: str, chat: object) -> str:
        await may_answer.wait()
        steps.append("answered")
        return "joined"

    here.pod.server.on("join-chat", join, namespace=NAMESPACE)
    here.hear(client_frame(TEXT, b'42/chats,0["join-chat",7]'))
    await here.pod.settled()
    here.begin(there)
    await here.pod.settled()
    assert steps == []
    may_answer.set()
    await here.done()
    assert steps[:2] == ["answered", Offer(PLACE)]
    assert there.taken is not None


async def test_a_request_that_is_handled_for_long_keeps_its_session_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    give_up_at_once(monkeypatch)
    try_again_soon(monkeypatch)
    here, there = Here(), There()

    async def join(sid: str, chat: object) -> None:
        await asyncio.Event().wait()

    here.pod.server.on("join-chat", join, namespace=NAMESPACE)
    here.hear(client_frame(TEXT, b'42/chats,0["join-chat",7]'))
    await here.pod.settled()
    here.begin(there)
    await here.pod.settled()
    assert there.steps == []
    here.line.lose()
    await here.done()
    assert (there.steps, here.outcomes) == ([], {})


@pytest.mark.parametrize("size", [1, 2, 7, 1_500])
async def test_half_a_message_is_waited_for(size: int) -> None:
    here, there = Here(), There(True)
    message = client_frame(TEXT, b'42/chats,["x","' + b"y" * 2_000 + b'"]')
    here.hear(message[:size])
    here.begin(there)
    await here.pod.settled()
    assert there.steps == []
    here.hear(message[size:])
    await here.done()
    assert there.taken is not None


async def test_a_fragmented_message_is_waited_for_to_its_last_fragment() -> None:
    here, there = Here(), There(True)
    here.hear(client_frame(TEXT, b"42/chats,", last=False))
    here.begin(there)
    await here.pod.settled()
    assert there.steps == []
    here.hear(client_frame(0, b'["x"]'))
    await here.done()
    assert there.taken is not None


async def test_an_attachment_that_is_still_to_come_is_waited_for() -> None:
    here, there = Here(), There(True)
    here.hear(client_frame(TEXT, b'451-/chats,["x",{"_placeholder":true,"num":0}]'))
    await here.pod.settled()
    here.begin(there)
    await here.pod.settled()
    assert there.steps == []
    here.hear(client_frame(BINARY, b"attached"))
    await here.done()
    assert there.taken is not None


async def test_what_comes_between_offer_and_answer_is_handled_before_the_session_goes() -> None:
    here, there = Here(), There(True)
    heard: list[object] = []
    here.pod.server.on("*", lambda *said: heard.append(said), namespace=NAMESPACE)
    there.meanwhile = lambda: here.hear(client_frame(TEXT, b'42/chats,["x",1]'))
    await here.move(there)
    assert len(heard) == 1
    assert there.taken is not None


async def test_half_a_message_between_offer_and_answer_calls_the_move_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its other half is held back at the other pod, until the session is said to stay."""
    give_up_at_once(monkeypatch)
    here, there = Here(), There(True, True)
    message = client_frame(TEXT, b'42/chats,["x",1]')
    first = [message[:5]]
    there.meanwhile = lambda: here.hear(first.pop()) if first else None
    there.on_keep = lambda: here.hear(message[5:])
    await here.move(there)
    assert there.steps[:3] == [Offer(PLACE), "keep", Offer(PLACE)]
    assert there.taken is not None


async def test_a_session_that_is_being_written_stays_until_that_is_done() -> None:
    here, there = Here(), There(True, True)
    here.pod.log.ticket = None

    def write() -> None:
        if len(there.steps) > 1:
            here.pod.log.ticket = a_ticket()

    there.meanwhile = write
    await here.move(there)
    assert there.steps[:3] == [Offer(PLACE), "keep", Offer(PLACE)]
    assert there.taken is not None
    assert here.outcomes == {"moved": 1}


async def test_what_cannot_be_given_is_still_all_here() -> None:
    here, there = Here(), There(True, True, True)
    here.pod.log.ticket = None
    here.begin(there)
    steps = [Offer(PLACE), "keep"] * 3
    await eventually(lambda: there.steps == steps, PATIENCE_SECONDS, "it was tried thrice")
    assert here.outcomes == {}
    assert not here.session.closed
    assert here.pod.members.rooms.by_sid("sio") is here.member


@pytest.mark.parametrize("answer", [True, False])
async def test_a_client_that_leaves_while_its_session_is_offered_is_lost_as_any_other(
    answer: bool,
) -> None:
    here, there = Here(), There(answer)
    there.meanwhile = here.line.lose
    await here.move(there)
    await here.pod.settled()
    assert there.taken is None
    assert here.outcomes == {}
    assert here.pod.lost == [("sio", "transport close")]


async def test_a_client_that_has_left_is_not_offered() -> None:
    here, there = Here(), There()
    here.line.lose()
    await here.move(there)
    assert (there.steps, here.outcomes) == ([], {})


async def test_a_client_that_leaves_its_namespace_meanwhile_moves_without_it() -> None:
    here, there = Here(), There(True)
    there.meanwhile = lambda: here.hear(client_frame(TEXT, b"41/chats,"))
    await here.move(there)
    assert there.taken is not None
    assert there.taken.memberships == []
    await eventually(lambda: here.pod.lost, PATIENCE_SECONDS, "its end was handled here")


async def test_a_session_moves_with_all_its_namespaces() -> None:
    here, there = Here(), There(True)
    here.pod.with_member(here.session, "other", ORDERS)
    await here.move(there)
    assert there.taken is not None
    scopes = [one.member.scope for one in there.taken.memberships]
    assert scopes == [DEFAULT_SCOPE, ORDERS]
    assert here.pod.engine.sockets == {}


async def test_a_session_that_is_leaving_one_of_its_namespaces_is_not_offered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    try_again_soon(monkeypatch)
    here, there = Here(), There()
    other = here.pod.with_member(here.session, "other", ORDERS)
    other.begin_to_leave()
    here.begin(there)
    await here.pod.settled()
    here.line.lose()
    await here.done()
    assert there.steps == []


async def test_a_session_of_which_one_part_cannot_go_stays_whole() -> None:
    here, there = Here(), There(True)
    other = here.pod.with_member(here.session, "other", ORDERS)
    there.meanwhile = other.begin_to_leave
    there.on_keep = here.line.lose
    await here.move(there)
    assert there.steps == [Offer(PLACE), "keep"]
