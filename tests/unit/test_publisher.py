"""Doubts about an event that is about to be published. Publishing itself needs a Redis."""

import pytest

from service.publisher import doubt_of
from service.routes import load
from tests.event_cases import EventCase, event_cases

TABLE = load()
SENT = [case for case in event_cases() if case.event is not None]
NOT_SENT = [case for case in event_cases() if case.event is None]


@pytest.mark.parametrize("case", SENT, ids=lambda case: case.name)
def test_an_event_that_the_gateway_sends_raises_no_doubt(case: EventCase) -> None:
    assert doubt_of(TABLE, case.channel, case.publish.encode()) is None


@pytest.mark.parametrize("case", NOT_SENT, ids=lambda case: case.name)
def test_an_event_that_it_does_not_send_does(case: EventCase) -> None:
    assert doubt_of(TABLE, case.channel, case.publish.encode())


@pytest.mark.parametrize(
    ("channel", "payload", "says"),
    [
        ("chat:mew", b'{"userId": 1}', "chat:new,"),
        ("chat:new", b"{", "not JSON"),
        ("chat:new", b"", "not JSON"),
        ("chat:new", b"[]", "not a JSON object"),
        ("chat:new", b"\xff", "not UTF-8"),
        ("chat:new", b'{"chatId": 1}', "lacks the keys"),
        ("chat:messageRead", b'{"userId": 1, "messageIds": []}', "nothing is sent"),
    ],
)
def test_a_doubt_says_what_is_wrong(channel: str, payload: bytes, says: str) -> None:
    doubt = doubt_of(TABLE, channel, payload)

    assert doubt is not None
    assert says in doubt
