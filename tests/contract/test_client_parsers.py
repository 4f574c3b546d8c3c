"""Whatever a door accepts, the parsers of real clients read: socket.io-parser 4.0 and 4.2.

A client that cannot read a packet closes its connection, and with recovery it gets the same packet
again after each resume.
"""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from constellation_ws.delivery import routes
from constellation_ws.interface.rows import RouteRow
from constellation_ws.messages import commands, python_emitter, redis_emitter
from constellation_ws.messages.commands import Emit
from constellation_ws.messages.events import NAMESPACE, UNSENDABLE_EVENTS, MalformedEvent
from constellation_ws.messages.frames import Frame, encode_emit, encode_event
from constellation_ws.nest.framing import FramingError, encode, read_packet
from constellation_ws.nest.rpc import Rpc
from constellation_ws.services.actions import Actions
from constellation_ws.services.refusals import RequestRefused
from constellation_ws.services.sending import Sending
from tests.emitter_cases import emitter_cases
from tests.processes import REPOSITORY, node_executable
from tests.spawning import spawn
from tests.tables import compiled

OFFSET = b"1764460000000-0"
TABLE = {
    **compiled(),
    "odd": routes.Route(RouteRow("odd", 'e "\\\u2028 я', ("a", "ключ", ""), ("{a}",))),
}


class Parsers:
    """A Node.js process with the parsers."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [node_executable(), str(REPOSITORY / "tests" / "js" / "parsers.mjs")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def read(self, frame: Frame, *, with_offset: bool) -> Any:
        """What every parser reads, from a WebSocket and from polling. AssertionError for none."""
        message, *_ = packets = frame.polling(with_offset)
        attachments = [base64.b64encode(one).decode() for one in frame.attachments]
        line = {"message": message, "attachments": attachments, "payload": "\x1e".join(packets)}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(line).encode() + b"\n")
        self._process.stdin.flush()
        result = json.loads(self._process.stdout.readline())
        assert "error" not in result, f"{result['error']}: {message[:500]!r}"
        return result["decoded"]

    def check(self, frame: Frame, event: str) -> None:
        """Both forms of an event are read as that event."""
        plain = self.read(frame, with_offset=False)
        assert (plain["nsp"], plain["event"], plain.get("id")) == (NAMESPACE, event, None)
        marked = self.read(frame, with_offset=True)
        assert marked["arguments"] == [*plain["arguments"], OFFSET.decode()]

    def end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


@pytest.fixture(scope="module")
def parsers() -> Iterator[Parsers]:
    parsers = Parsers()
    try:
        yield parsers
    finally:
        parsers.end()


# JSON as other programs write it, and what is nearly JSON: the text counts, not the value.
spaces = st.sampled_from(["", "", "", " ", "\n", "\t \r"])
escapes = st.sampled_from(
    [r"\u0000", r"\u001e", r"\ud83d", r"\ud83d\ude00", r"\ude00\ud83d", r"\"", r"\\", r"\/", r"\b"]
)
characters = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\')
strings = st.lists(escapes | characters, max_size=4).map(lambda parts: f'"{"".join(parts)}"')
numbers = st.sampled_from(["0", "-0", "-0.0", "1.0", "1e400", "-1E-400", "1E+2", "9" * 400]) | (
    st.integers().map(str)
)
names = st.sampled_from([*sorted(UNSENDABLE_EVENTS), "e", "", "message", "__proto__"]).map(
    json.dumps
)
placeholders = st.sampled_from(["0", "1", "2", "-1", "0.0", '"0"', "null", "1e0", "[0]"]).map(
    lambda number: f'{{"_placeholder":true,"num":{number}}}'
)
leaves = strings | numbers | placeholders | st.sampled_from(["null", "true", "false"])


def listed(parts: list[str], space: str = "") -> str:
    return f"[{space}{f'{space},{space}'.join(parts)}{space}]"


def membered(pairs: list[tuple[str, str]], space: str = "") -> str:
    members = f"{space},{space}".join(f"{key}{space}:{space}{value}" for key, value in pairs)
    return f"{{{space}{members}{space}}}"


values = st.recursive(
    leaves,
    lambda inner: (
        st.builds(listed, st.lists(inner, max_size=3), spaces)
        | st.builds(
            membered,
            st.lists(st.tuples(strings | st.just('"__proto__"'), inner), max_size=3),
            spaces,
        )
    ),
    max_leaves=6,
)
attachments = st.lists(
    st.binary(max_size=4).map(lambda one: base64.b64encode(one).decode()), max_size=3
)


@st.composite
def damaged(draw: Callable[[st.SearchStrategy[Any]], Any], texts: st.SearchStrategy[Any]) -> bytes:
    """A text or bytes, perhaps with a byte too many, too few or another."""
    text: str | bytes = draw(texts)
    raw = bytearray(text.encode() if isinstance(text, str) else text)
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, max(0, len(raw) - 1)))
        raw[at : at + draw(st.integers(0, 2))] = draw(
            st.binary(max_size=1)
            | st.sampled_from([b"\x1e", b"\x00", b"\n", b",", b"]", b"\\", b'"'])
        )
    return bytes(raw)


addressed = [
    (f'"{key}"', '"x"') for key in ("a", "userId", "chatId", "participants", "notifyUsers")
]
keys = st.sampled_from(
    ["a", "ключ", "", "userId", "chatId", "text", "participants", "messageIds", "notifyUsers"]
).map(lambda key: json.dumps(key, ensure_ascii=False))
event_texts = st.builds(
    lambda pairs, space: membered([*addressed, *pairs], space),  # of two equal keys the last counts
    st.lists(st.tuples(keys, values), max_size=6),
    spaces,
)
event_names = st.sampled_from(['"e"', '"message"', '"я"', r'"\u0000\"\ud83d"']) | names | values
files: st.SearchStrategy[Any] = st.just([]) | attachments | st.just(["AA=="] * 11)
arguments = st.lists(values, max_size=3)


def often(usual: st.SearchStrategy[str], odd: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Mostly what a door accepts, so that much of it is tried."""
    return st.integers(0, 4).flatmap(lambda lot: usual if lot else odd)


command_texts = st.builds(
    lambda args, rooms, files, space: membered(
        [
            ('"type"', '"emit"'),
            ('"args"', args),
            ('"rooms"', rooms),
            ('"attachments"', json.dumps(files)),
        ],
        space,
    ),
    often(
        st.builds(
            lambda name, rest, space: listed([name, *rest], space), event_names, arguments, spaces
        ),
        values,
    ),
    st.sampled_from(["null", "[]", '["r"]']),
    files,
    spaces,
)
emitter_texts = st.builds(
    lambda name, args, room, files, space: membered(
        [
            ('"method"', '"emit"'),
            ('"namespace"', '"/chats"'),
            ('"event"', name),
            ('"data"', listed([args, *map(json.dumps, files)], space) if files else args),
            ('"binary"', json.dumps(bool(files))),
            ('"room"', room),
        ],
        space,
    ),
    event_names,
    often(st.builds(listed, arguments, spaces), values),
    often(st.just('"r"'), values),
    files,
    spaces,
)


@given(st.sampled_from(sorted(TABLE)), damaged(event_texts))
@example("odd", b'{"a":"\\ud83d","a":1}')
def test_an_event_that_is_routed_is_read(parsers: Parsers, channel: str, raw: bytes) -> None:
    try:
        message = TABLE[channel].route(raw)
    except MalformedEvent:
        return
    if message is not None:
        frame = encode_event(message.event, message.body, OFFSET)
        parsers.check(frame, message.event)


@given(damaged(command_texts))
@example(b'{"type":"emit","args":["newListener"],"rooms":null}')
@example(b'{"type":"emit","args": ["e" , 1 ] ,"rooms":null}')
@example(b'{"type":"emit","args":[5],"rooms":null}')
def test_an_emit_from_the_log_is_read(parsers: Parsers, raw: bytes) -> None:
    check_emit(parsers, raw, commands.decode)


@given(damaged(emitter_texts))
@example(
    b'{"method":"emit","namespace":"/chats","event":"e","binary":true,'
    b'"data":[[{"_placeholder":true,"num":0}],"AAE="]}'
)
def test_an_emit_of_an_emitter_is_read(parsers: Parsers, raw: bytes) -> None:
    check_emit(parsers, raw, python_emitter.decode_emitter)


@given(damaged(st.sampled_from([case.message for case in emitter_cases()])))
def test_an_emit_in_msgpack_is_read(parsers: Parsers, raw: bytes) -> None:
    check_emit(parsers, raw, lambda payload: redis_emitter.decode_emit(payload, len(raw) * 8))


def check_emit(
    parsers: Parsers, raw: bytes, decode: Callable[[bytes], commands.Command | None]
) -> None:
    try:
        command = decode(raw)
    except MalformedEvent:
        return
    if isinstance(command, Emit):
        event, *_ = json.loads(bytes(command.args))
        parsers.check(encode_emit(command, OFFSET), event)


class Sent:
    """The TCP port's patterns, and what they sent."""

    def __init__(self) -> None:
        self.payloads: list[tuple[str, bytes]] = []
        nobody = cast("Any", None)  # a bus and presence, which these patterns do not ask
        sending = Sending(self._send_all, spawn)
        actions = Actions(nobody, nobody, TABLE, sending, nobody, max_event_bytes=1_000_000)
        self.patterns = Rpc(actions, TABLE, "pod").patterns()

    async def _send_all(self, messages: Sequence[tuple[str, bytes]]) -> list[None]:
        self.payloads += messages
        return [None] * len(messages)


REQUESTED = ["sendToUser", "sendToRoom", "chat:new", "chat:typing", "odd"]
requests = st.builds(
    lambda pattern, event, value, space: membered(
        [
            ('"pattern"', json.dumps(pattern)),
            (
                '"data"',
                membered(
                    [('"userId"', '"u"'), ('"room"', '"r"'), ('"event"', event), ('"data"', value)],
                    space,
                )
                if pattern in commands.REQUESTS
                else value,
            ),
            ('"id"', '"1"'),
        ],
        space,
    ),
    st.sampled_from(REQUESTED),
    names | strings,
    values | event_texts,
    spaces,
)


@given(damaged(requests))
@example(b'{"pattern":"sendToUser","data":{"userId":"u","event":"removeListener","data":1},"id":1}')
def test_a_request_on_the_tcp_port_that_is_accepted_is_read(parsers: Parsers, raw: bytes) -> None:
    sent = Sent()
    try:
        raw.decode()  # as its framing does
        packet = read_packet(raw)
    except (FramingError, UnicodeDecodeError):
        return
    pattern = sent.patterns.get(packet.pattern or "")
    if pattern is None or pattern.is_question or packet.pattern not in REQUESTED:
        return  # the damage has made another name of it
    try:
        asyncio.run(pattern.handle(packet.data))  # type: ignore[arg-type]  # a coroutine
    except RequestRefused:
        return
    for channel, payload in sent.payloads:
        if channel in TABLE:
            message = TABLE[channel].route(payload)
            if message is not None:
                parsers.check(encode_event(message.event, message.body, OFFSET), message.event)
        else:
            check_emit(parsers, payload, commands.decode)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=8))
def test_any_name_of_an_event_is_read_or_refused(parsers: Parsers, event: str) -> None:
    data = msgspec.Raw(b"null")
    check_emit(parsers, commands.encode(commands.emit(event, data, ())), commands.decode)
    assert encode({"event": event})  # and can be asked for on the TCP port


@pytest.mark.parametrize("event", sorted(UNSENDABLE_EVENTS - {"__disconnect_final"}))
def test_the_names_that_are_refused_are_those_that_a_parser_refuses(
    parsers: Parsers, event: str
) -> None:
    frame = Frame(b'42/chats,["%b"]' % event.encode(), (), OFFSET)
    with pytest.raises(AssertionError, match="current: invalid payload"):
        parsers.read(frame, with_offset=False)
