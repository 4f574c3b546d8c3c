"""What comes by a pattern is for the gateway, or counted as something that it does not do."""

import json

import pytest

from constellation_ws.messages.namespaces import DEFAULT_NAMESPACES
from constellation_ws.messages.redis_emitter import DEFAULT_EMITTERS
from constellation_ws.observability.metrics import Metrics
from constellation_ws.redis_io.emitters import EmitterFilter


@pytest.mark.parametrize(
    ("channel", "payload", "counted_as"),
    [
        (b"socket.io#/chats#", b"\xc1", None),
        (b"socket.io#/chats#user:1#", b"\xc1", None),
        (b"socket.io#/chats#a#/other#", b"\xc1", None),
        (b"socket.io#/#", b"\xc1", "namespace"),
        (b"socket.io#/chats2#", b"\xc1", "namespace"),
        (b"socket.io-request#/#", b'{"type":6}', "namespace"),
        (b"socket.io-request#/chats#", b'{"type":2,"opts":{}}', None),
        (b"socket.io-request#/chats#", b"broken", None),
        (b"socket.io-request#/chats#", b'{"type":6,"data":["x"]}', "server_side_emit"),
        (b"socket.io-request#/chats#", b'{"type":5,"opts":{}}', "query"),
    ],
)
def test_only_what_is_for_the_gateway_is_passed_on(
    channel: bytes, payload: bytes, counted_as: str | None
) -> None:
    metrics = Metrics()
    assert EmitterFilter(DEFAULT_EMITTERS, DEFAULT_NAMESPACES, metrics).admits(
        channel, payload
    ) is not bool(counted_as)
    (family,) = metrics.unsupported.collect()
    counts = {one.labels["kind"]: one.value for one in family.samples if one.value}
    assert counts == ({counted_as: 1} if counted_as else {}), json.dumps(counts)
