"""A session without a network: what waits in it, and in which form its packets leave."""

from __future__ import annotations

from dataclasses import replace

import pytest
from engineio import packet as eio

from constellation_ws.engine.server import Engine
from constellation_ws.engine.session import EngineSession
from constellation_ws.messages.frames import Frame
from constellation_ws.runtime.turn_queue import TurnQueue
from constellation_ws.websocket import binary_frame, text_frame
from tests.unit.engine.world import LIMITS


class Line:
    """A WebSocket that keeps what is written."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        self.is_read = True
        self.aborted = False

    def is_flushed(self) -> bool:
        return not self.sent

    def waiting_bytes(self) -> int:
        return sum(map(len, self.sent))

    def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)

    def abort(self) -> None:
        self.aborted = True

    def is_between_messages(self) -> bool:
        return True

    def detach(self) -> None:
        self.is_read = False

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True


@pytest.fixture
def engine() -> Engine:
    engine = Engine(
        replace(LIMITS, max_write_buffer_bytes=100, max_event_bytes=0),
        pod_tag="p",
        spawn=lambda work: work.close(),
        turns=TurnQueue(),
    )
    engine.on("connect", lambda sid, handshake: None)
    return engine


@pytest.fixture
def polling(engine: Engine) -> EngineSession:
    return engine.open("", "", [])


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def upgraded(polling: EngineSession, line: Line) -> EngineSession:
    polling.websocket, polling.write = line, line.sent.append
    return polling


MISSED = Frame(b'42/chats,["x",1]', (), b"5-0")


async def test_on_polling_packets_wait_in_their_order(polling: EngineSession) -> None:
    polling.send_message("ю")
    polling.send_message(b"\x01\x02\x03\x04")
    polling.send_message(b"")
    polling.send_control("2")
    await polling.send(eio.Packet(eio.MESSAGE, "hello"))
    await polling.send(eio.Packet(eio.NOOP))
    assert not polling.is_flushed
    assert polling.pop_outbox() == ["4ю", "bAQIDBA==", "b", "2", "4hello", "6"]
    assert polling.is_flushed
    assert (polling.outbox, polling.outbox_bytes) == (None, 0)


async def test_what_waits_is_counted_on_either_transport(
    engine: Engine, polling: EngineSession, line: Line
) -> None:
    polling.send_message("hello")
    assert polling.waiting_bytes == len("4hello")
    upgraded = engine.open("", "", [])
    upgraded.websocket, upgraded.write = line, line.sent.append
    upgraded.send_message("hello")
    assert upgraded.waiting_bytes == len(text_frame(b"4hello"))
    line.sent.clear()
    polling.pop_outbox()
    assert polling.waiting_bytes == upgraded.waiting_bytes == 0


async def test_on_a_websocket_packets_leave_at_once(upgraded: EngineSession, line: Line) -> None:
    upgraded.send_message("ю")
    upgraded.send_message(b"\x01")
    upgraded.send_control("2")
    await upgraded.send(eio.Packet(eio.MESSAGE, b"\x02"))
    assert line.sent == [
        text_frame("4ю".encode()),
        binary_frame(b"\x01"),
        text_frame(b"2"),
        binary_frame(b"\x02"),
    ]
    assert upgraded.outbox is None


def test_what_was_missed_leaves_with_its_offsets_in_one_write(
    upgraded: EngineSession, line: Line
) -> None:
    upgraded.send_after([MISSED, MISSED], "0/chats,{}")
    missed = text_frame(b'42/chats,["x",1,"5-0"]')
    assert line.sent == [missed + missed + text_frame(b"40/chats,{}")]


def test_what_was_missed_waits_with_its_offsets_on_polling(polling: EngineSession) -> None:
    polling.send_after([MISSED], "0/chats,{}")
    assert polling.pop_outbox() == ['42/chats,["x",1,"5-0"]', "40/chats,{}"]


def test_nothing_waits_for_a_session_that_is_closed(engine: Engine, polling: EngineSession) -> None:
    engine.remove(polling, "gone")
    polling.send_message("late")
    polling.queue("4late")
    assert polling.outbox is None


def test_nothing_waits_beside_a_websocket(upgraded: EngineSession) -> None:
    upgraded.queue("4stray")
    assert upgraded.outbox is None


def test_up_to_the_bound_packets_wait_and_beyond_it_the_session_is_closed(
    engine: Engine, polling: EngineSession
) -> None:
    polling.queue("4" + "x" * 99)
    assert not polling.closed
    polling.queue("4")
    assert polling.closed
    assert polling.outbox is None
    assert polling.sid not in engine.sockets


def test_a_farewell_to_a_session_at_its_bound_closes_it_all_the_same(
    engine: Engine, polling: EngineSession
) -> None:
    polling.queue("4" + "x" * 99)
    engine.close(polling, "enough")
    assert polling.closed
    assert engine.pending_closes.pop_polling(polling.sid) is None


async def test_python_engineios_close_ends_the_session(upgraded: EngineSession, line: Line) -> None:
    await upgraded.close()
    assert not upgraded.connected
    assert line.closed == (1000, "server disconnect")


async def test_an_upgraded_session_says_so(polling: EngineSession, line: Line) -> None:
    assert not polling.upgraded
    polling.websocket = line
    assert polling.upgraded
    assert polling.connected


@pytest.mark.parametrize("collected", [b"event", [b"ev", b"ent"]])
async def test_whatever_is_sent_comes_behind_what_the_fan_out_has_collected(
    upgraded: EngineSession, line: Line, collected: bytes | list[bytes]
) -> None:
    for send in (
        lambda: upgraded.send_message("hello"),
        lambda: upgraded.send_control("6"),
        lambda: upgraded.send_after([], "0/chats,{}"),
    ):
        upgraded.pending = collected
        assert not upgraded.is_flushed
        send()
        assert line.sent.pop(0) == b"event"
        assert len(line.sent) == 1
        line.sent.clear()
        assert upgraded.pending is None


async def test_a_ping_and_a_close_come_behind_what_the_fan_out_has_collected(
    engine: Engine, upgraded: EngineSession, line: Line
) -> None:
    upgraded.pending = b"event"
    for _ in range(1_000):
        for _ in engine.advance(0.0):
            pass
        if line.sent:
            break
    assert line.sent == [b"event", text_frame(b"2")]
    upgraded.pending = b"last"
    engine.close(upgraded, "drain")
    assert line.sent[2:] == [b"last"]
    assert line.closed is not None
