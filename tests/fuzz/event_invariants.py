"""What has to be true of whatever is published on Redis: events, commands; and of interface tables.

Not here: where the bytes come from.
"""

import json
from functools import cache
from typing import Any

from constellation_ws.delivery.routes import (
    MAX_REMOVALS,
    Route,
    RoutedEvent,
    compile_table,
)
from constellation_ws.interface import table
from constellation_ws.interface.requests import RequestReader
from constellation_ws.interface.rows import Removal, RequestRow, RouteRow
from constellation_ws.interface.table import InvalidInterface
from constellation_ws.messages import commands, python_emitter, redis_emitter
from constellation_ws.messages.admission import Refusal
from constellation_ws.messages.commands import Command, Emit
from constellation_ws.messages.events import NAMESPACE, MalformedEvent
from constellation_ws.messages.frames import encode_emit, encode_event
from constellation_ws.messages.trace_context import KEYS as TRACE_KEYS
from tests.fuzz.strict_packets import StrictPacket

CUSTOM = [
    RouteRow("like:new", "new-like", ("id", "by", "ключ"), ("user:{to}", "post:{post id}")),
    RouteRow("all", "to-all", (), ("user:{to}",), except_="user:{by}", empties=("x:{to}",)),
    RouteRow("none", "nobody", ("to",), ("{to}",), unless_empty="to"),
    RouteRow("gone", "gone", ("a",), ("user:{a}",), removes=Removal("user:{who}", "chat:{a}")),
]

_FILE = "fuzzed.toml"

MAX_EMIT_BYTES = 1_000
"""Fewer than the inputs have, so that the bound of what an emit becomes is tried too."""


def check_event(data: bytes) -> None:
    """Route any bytes on the channel that the first one picks. AssertionError for a fault."""
    for is_traced in (False, True):
        routes = _routes(is_traced)
        entry, route = routes[data[0] % len(routes)] if data else routes[0]
        _check_route(entry, route, data[1:])


def check_command(data: bytes) -> None:
    """Read any bytes as a command of a pod, and as an emitter's message."""
    for decode in (commands.decode, python_emitter.decode_emitter):
        try:
            command = decode(data)
        except MalformedEvent:
            continue
        if command is not None:
            _check_carried_out(command, 2 * len(data))
            assert commands.decode(commands.encode(command)) == command


def check_emitter(data: bytes) -> None:
    """Read any bytes as a message of `@socket.io/redis-emitter`, of either kind."""
    unsupported = redis_emitter.find_unsupported(data)
    for decode in (_decode_emit, redis_emitter.decode_request):
        try:
            command = decode(data)
        except MalformedEvent:
            continue
        if command is not None:
            assert unsupported is None
            _check_carried_out(command, MAX_EMIT_BYTES)
            assert commands.decode(commands.encode(command)) == command


def _decode_emit(data: bytes) -> Command | None:
    return redis_emitter.decode_emit(data, MAX_EMIT_BYTES)


def check_table(data: bytes) -> None:
    """Read any bytes as an interface table and as a file of routes, and do what they say."""
    file: Any = _File(data)
    for files in ((file, None), (None, file)):
        try:
            interface = table.load(*files)
        except InvalidInterface as error:
            _check_faults(str(error))
            continue
        names = {row.name for row in interface.namespaces}
        assert {row.namespace for row in interface.requests} <= names
        assert {row.namespace for row in interface.routes} <= names
        for request in interface.requests:
            _check_request(request, data)
        for route in compile_table(interface.routes).values():
            _route(route, b'{"a":1,"userId":"u","to":["x"],"chatId":null}')


def _check_faults(text: str) -> None:
    """Each fault is a line of its own that names the file, where it is one of a file's."""
    for line in text.split("\n"):
        assert line.isprintable()
        assert line.startswith((_FILE, "the table has no [[namespace]]"))


def _check_request(row: RequestRow, data: bytes) -> None:
    """No client names a room of another kind, and every request does exactly one thing."""
    assert sum(map(bool, (row.joins, row.leaves, row.to))) == 1
    rooms = [template.partition("{")[0] for template in (*row.joins, *row.leaves)]
    assert all(":" in room and not room.startswith("user:") for room in rooms)
    reader = RequestReader(row, 16)
    for argument in (b"7", b'{"a":7,"b":"user:x","userId":"u","chatId":"c"}', data):
        found = reader.read(argument)
        if not isinstance(found, Refusal):
            assert all(room.startswith(tuple(rooms)) for room in found.rooms)
            assert len(found.rooms) == len(rooms)


class _File:
    """A file that lies nowhere."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read_text(self, encoding: str) -> str:
        return self._data.decode(encoding)

    def __str__(self) -> str:
        return _FILE


@cache
def _routes(is_traced: bool) -> list[tuple[RouteRow, Route]]:
    entries = [*table.load().routes, *CUSTOM]
    return [(entry, Route(entry, is_traced=is_traced)) for entry in entries]


def _check_route(entry: RouteRow, route: Route, payload: bytes) -> None:
    """What goes out is JSON that holds the listed keys as they were published, and no other."""
    message = _route(route, payload)
    if message is None:
        return
    prefixes = tuple(template.partition("{")[0] for template in entry.templates())
    assert all(room.startswith(prefixes) for room in (*message.rooms, *message.empties))
    assert len([*message.rooms, *message.except_rooms, *message.empties]) <= 3 * len(payload)
    assert len(message.removals) <= MAX_REMOVALS
    assert all(one.who.startswith(prefixes) for one in message.removals)
    frame = encode_event(message.event, message.body, b"1-2")
    assert len(frame.message) <= len(payload) + 200
    assert frame.websocket(with_offset=True).decode(errors="surrogateescape")
    assert frame.polling(with_offset=True)
    try:
        event, body = _values(frame.message.removeprefix(b"42/chats,"))
        published = _values(payload)
    except RecursionError:
        return  # of the test's own reader
    assert event == entry.event
    assert set(body) <= set(entry.keys) - set(TRACE_KEYS)
    assert body == {key: value for key, value in published.items() if key in entry.keys}


def _route(route: Route, payload: bytes) -> RoutedEvent | None:
    try:
        return route.route(payload)
    except MalformedEvent:
        return None


def _values(text: bytes) -> Any:
    """Read JSON by another reader than the service's; numbers as they are written."""
    return json.loads(text, parse_int=str, parse_float=str, parse_constant=_no_json)


def _no_json(constant: str) -> None:
    raise AssertionError(f"{constant} was taken for JSON")


def _check_carried_out(command: Command, most_bytes: int) -> None:
    """What goes out for a command is a packet that a strict client reads."""
    if not isinstance(command, Emit):
        return
    frame = encode_emit(command, b"1-2")
    assert len(frame.message) <= most_bytes + 200
    for text in (frame.polling()[0], frame.polling(with_offset=True)[0]):
        packet = StrictPacket(encoded_packet=text[1:])
        assert packet.attachment_count == len(frame.attachments)
        assert packet.namespace == NAMESPACE
        for left in reversed(range(len(frame.attachments))):
            assert packet.add_attachment(b"attached") is (left == 0)
