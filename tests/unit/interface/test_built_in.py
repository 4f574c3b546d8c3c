"""The request that is built in: as a row, and as nothing that a table may have."""

from __future__ import annotations

from pathlib import Path

from constellation_ws.interface import built_in
from constellation_ws.interface.rows import RequestRow
from tests.tables import EXTENDS, only_fault


def test_only_the_built_in_request_has_an_answer_of_its_own() -> None:
    assert built_in.answer_types(built_in.refresh_row("/chats")) == {"expiresAt": "number?"}
    for event in ("join-chat", "zoom"):
        assert built_in.answer_types(RequestRow(event)) is None


def test_a_table_cannot_have_it(tmp_path: Path) -> None:
    text = f'{EXTENDS}[[request]]\nevent = "{built_in.REFRESH}"\njoins = ["a:{{b}}"]\n'

    assert "built in" in only_fault(tmp_path, text)
