"""Changes of who is online go to those who watch, and are noted."""

from __future__ import annotations

import msgspec

from constellation_ws.delivery.status_route import StatusRoute
from constellation_ws.interface.rows import RequestRow
from constellation_ws.interface.watches import status_row
from constellation_ws.messages.namespaces import Scope

ANNOUNCEMENT = b'{"userId":"u\\/1","status":"online","at":17,"reason":"connected","sequence":5}'


def test_a_change_is_noted_and_sent_without_its_reason() -> None:
    noted: list[bytes] = []
    row = status_row([RequestRow("w", namespace="/n", watches="u")], "constellation:presence")
    assert row is not None

    message = StatusRoute(row, Scope("/n,"), noted.append, is_traced=False).route(ANNOUNCEMENT)

    assert message is not None
    assert (message.event, message.rooms) == ("presence", ["/n,presence:u/1"])
    assert msgspec.json.encode(message.body) == b'{"userId":"u\\/1","status":"online","at":17}'
    assert noted == [ANNOUNCEMENT]
