"""How the forms and the snippets of the console see the interface table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from constellation_ws import __version__
from constellation_ws.console.interface import describe
from tests.tables import ORDERS, loaded

ANONYMOUS = '[[namespace]]\nname = "/open"\nidentity = "none"\n'
EXCEPT = """
[[route]]
channel = "order:seen"
event = "order-seen"
keys = ["orderId"]
to = ["order:{orderId}"]
except = "user:{userId}"
"""


def described(
    folder: Path, *, has_tokens: bool = False, shows_channels: bool = False, **more: Any
) -> Any:
    given = {"has_recovery": False, "publishes": False} | more
    table = loaded(folder, ORDERS + ANONYMOUS + EXCEPT)
    return msgspec.json.decode(
        describe(table, has_tokens=has_tokens, shows_channels=shows_channels, **given)
    )


def field(name: str, kind: str, names: str = "", *, required: bool = True) -> dict[str, Any]:
    return {"name": name, "type": kind, "required": required, "names": names}


def test_clients_see_what_they_may_send_and_receive(tmp_path: Path) -> None:
    orders, anonymous = described(tmp_path)["namespaces"]
    assert orders == {
        "name": "/orders",
        "identity": True,
        "requests": [
            {"event": "follow-order", "joins": True, "fields": [field("orderId", "id", "order")]},
            {
                "event": "place-order",
                "joins": False,
                "fields": [
                    field("shopId", "id", "shop"),
                    field("items", "list"),
                    field("note", "string", required=False),
                ],
            },
            {"event": "pay", "joins": False, "fields": []},
        ],
        "events": ["order-moved", "order-seen"],
    }
    assert anonymous == {"name": "/open", "identity": False, "requests": [], "events": []}


def test_channels_are_described_where_they_are_shown(tmp_path: Path) -> None:
    assert described(tmp_path)["channels"] == []
    moved, seen = described(tmp_path, shows_channels=True)["channels"]
    assert moved == {
        "channel": "order:moved",
        "event": "order-moved",
        "namespace": "/orders",
        "to": ["order:{orderId}"],
        "volatile": True,
        "fields": [field("orderId", "", "order"), field("lat", "number")],
    }
    assert seen["to"] == ["order:{orderId}", "not user:{userId}"]
    assert not seen["volatile"]


def test_a_client_with_a_token_may_refresh_it(tmp_path: Path) -> None:
    orders, anonymous = described(tmp_path, has_tokens=True)["namespaces"]
    assert orders["requests"][-1]["event"] == "refresh-token"
    assert anonymous["requests"] == []


def test_the_description_says_what_the_gateway_offers(tmp_path: Path) -> None:
    plain = described(tmp_path)
    del plain["namespaces"], plain["channels"]
    assert plain == {
        "version": __version__,
        "tokens": False,
        "recovery": False,
        "publishes": False,
        "redis": "",
        "tcpPort": 0,
    }
    found = described(
        tmp_path, has_tokens=True, has_recovery=True, publishes=True, redis="redis://a", tcp_port=4
    )
    assert (found["tokens"], found["recovery"], found["publishes"]) == (True, True, True)
    assert (found["redis"], found["tcpPort"]) == ("redis://a", 4)
