"""What a row's surroundings say of the rooms that it may name."""

from __future__ import annotations

import pytest

from constellation_ws.interface.rows import NamespaceRow
from constellation_ws.interface.surroundings import Deployment, Surroundings
from constellation_ws.messages.redis_emitter import DEFAULT_EMITTERS

AROUND = Surroundings(
    {"/m": NamespaceRow("/m"), "/z": NamespaceRow("/z", "none")},
    ["/m", "/b", "/z"],
    {},
    [],
    Deployment("constellation", DEFAULT_EMITTERS, None),
)


@pytest.mark.parametrize(
    ("namespace", "prefix", "other"),
    [
        ("/m", "/z,order:", "/z"),
        ("/m", "/", "/b"),
        ("/m", "order:", None),
        ("/b", "/z,order:", None),
        ("/z", "/b,order:", None),
    ],
)
def test_only_templates_of_the_default_namespace_can_name_rooms_of_another(
    namespace: str, prefix: str, other: str | None
) -> None:
    assert AROUND.foreign(namespace, prefix) == other


def test_clients_have_no_user_only_where_the_table_says_so() -> None:
    assert [AROUND.is_anonymous(name) for name in ("/m", "/z", "/x")] == [False, True, False]
