"""Whether the log is followed: what is logged of it, and that it names the partition."""

from __future__ import annotations

from structlog.testing import capture_logs

from constellation_ws.log.following import Following
from constellation_ws.observability.metrics import Metrics

LOST = "the log cannot be followed, trying again"
BACK = "following the log again"


def test_an_outage_is_logged_once_and_its_end() -> None:
    following = Following(Metrics(), {"partition": 1})
    following.begin((1, 0))
    with capture_logs() as lines:
        following.end("connection", "refused")
        since = following.disconnected_at
        following.end("silent", "no answer")
        assert since is not None
        assert following.disconnected_at == since
        following.begin((2, 0))
    assert following.disconnected_at is None
    assert [(line["event"], line["partition"]) for line in lines] == [(LOST, 1), (BACK, 1)]


def test_each_attempt_is_logged_before_it_was_followed_for_the_first_time() -> None:
    following = Following(Metrics(), {})
    with capture_logs() as lines:
        following.end("connection", "refused")
        following.end("connection", "refused")
        following.begin((1, 0))
    assert [line["event"] for line in lines] == [LOST, LOST]
    assert not any("partition" in line for line in lines)


def test_pauses_grow_until_it_is_followed() -> None:
    following = Following(Metrics(), {})
    pauses = [following.next_pause() for _ in range(20)]
    following.begin((1, 0))
    assert following.next_pause() < max(pauses)
