"""`schema`: one format at a time. tests/journey/test_schema.py shows what is printed."""

from __future__ import annotations

import pytest

from constellation_ws.cli import schema
from constellation_ws.cli.schema import Format, NotOne


@pytest.mark.parametrize("chosen", Format)
def test_one_option_chooses_its_format(chosen: Format) -> None:
    assert schema.choose(**{kind.value: kind is chosen for kind in Format}) is chosen


@pytest.mark.parametrize("is_wanted", [False, True])
def test_none_and_several_are_refused(is_wanted: bool) -> None:
    with pytest.raises(NotOne, match="exactly one of --asyncapi, --typescript, --openapi"):
        schema.choose(**dict.fromkeys((kind.value for kind in Format), is_wanted))
