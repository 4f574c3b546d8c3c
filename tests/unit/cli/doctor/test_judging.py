"""What the parts of the examination make of what they have seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from constellation_ws.cli.deployment import Pod
from constellation_ws.cli.doctor import delivery, draining, idle, pods, polling, websockets
from constellation_ws.cli.doctor.draining import Moved
from constellation_ws.cli.doctor.pods import Met
from constellation_ws.cli.doctor.target import Response
from constellation_ws.cli.findings import Verdict
from constellation_ws.cli.lean_client import Lost

OK, SKIPPED, WARNING, FAILED = Verdict.OK, Verdict.SKIPPED, Verdict.WARNING, Verdict.FAILED


@pytest.mark.parametrize(
    ("lost", "after", "verdict", "says"),
    [
        (Lost(None), 20.0, FAILED, "a proxy cuts a silent WebSocket after 20.0 s (no Close frame)"),
        (Lost(1001), 20.0, FAILED, "(1001): less than the ping interval of 25 s"),
        (Lost(1012), 3.0, WARNING, "a roll-out is under way"),
        (Lost(None), 30.0, FAILED, "ends after 30.0 s (cut without a Close frame), pings or not"),
    ],
)
def test_who_has_closed_a_silent_websocket(
    lost: Lost, after: float, verdict: Verdict, says: str
) -> None:
    finding = idle.judge_lost(lost, after, 25, 45)
    assert finding.verdict is verdict
    assert says in finding.detail
    assert finding.remedy


@pytest.mark.parametrize(
    ("codes", "verdict"),
    [
        (["", ""], OK),
        (["forbidden", ""], OK),
        (["unavailable", ""], FAILED),
        (["access_unavailable"], WARNING),
        (["unknown_event"], SKIPPED),
    ],
)
def test_acks_show_whether_redis_can_be_written(codes: list[str], verdict: Verdict) -> None:
    assert polling.judge_acks(codes).verdict is verdict


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Response(400, '{"data":{"code":"no_upgrade"}}'), "removes the Upgrade header"),
        (Response(505, '{"data":{"code":"old_http"}}'), "HTTP/1.0"),
        (Response(502, "<html>"), "a proxy does not pass WebSockets (HTTP 502)"),
        (Response(403, '{"data":{"code":"forbidden_origin"}}'), "refused: forbidden_origin"),
    ],
)
def test_why_no_websocket_opens(answer: Response, says: str) -> None:
    finding = websockets.judge_refused(answer, ValueError("refused"))
    assert finding.verdict is FAILED
    assert says in finding.detail


@pytest.mark.parametrize(
    ("moved", "verdict", "says"),
    [
        ([], SKIPPED, "no connection was closed"),
        ([Moved(1012, 0.5, True), Moved(1001, 2, True)], OK, "2 clients were closed and back in 2"),
        ([Moved(1012, 0.5, True), Moved(None, 1, True)], WARNING, "1 were cut without a Close"),
        ([Moved(1012, 0.5, False)], WARNING, "1 were not recovered"),
        ([Moved(1012, None, False)], FAILED, "1 of 1 clients found no pod"),
    ],
)
def test_a_roll_out_is_judged(moved: Sequence[Moved], verdict: Verdict, says: str) -> None:
    finding = draining.judge_moves(moved, 60)
    assert finding.verdict is verdict
    assert says in finding.detail


def pod(instance: str, seen_seconds: float = 1.0) -> Pod:
    return Pod(instance, seen_seconds, 0, "", reads_packed=True)


def met(*instances: str, refused: int = 0) -> Met:
    return Met(Counter(instances), Counter({"HTTP 503 draining": refused} if refused else {}))


@pytest.mark.parametrize(
    ("seen", "registered", "says"),
    [
        (met("a", "b"), [pod("a"), pod("b"), pod("left", 15)], None),
        (met("a"), [pod("a"), pod("b")], "2 are registered, only one gets clients"),
        (met("a", "b"), [pod("a"), pod("b"), pod("c")], "no client reaches them: c (no address)"),
        (met("a", refused=3), [pod("a"), pod("b")], "no client reaches them: b"),
        (met("a", "x"), [pod("a")], "not registered in this Redis: x"),
    ],
)
def test_pods_that_were_met_are_compared_with_those_that_are_registered(
    seen: Met, registered: list[Pod], says: str | None
) -> None:
    found = [one.detail for one in pods.judge_registered(seen, registered)]
    assert len(found) == (says is not None)
    assert says is None or says in found[0]


def test_each_refusal_of_a_handshake_has_its_remedy() -> None:
    draining_, full = pods.judge_handshakes(
        Met(Counter(), Counter({"HTTP 503 draining": 2, "HTTP 503": 1}))
    )
    assert "a pod is being replaced" in draining_.remedy
    assert "a pod is not ready or does not answer" in full.remedy


def test_arrivals_are_summed_up() -> None:
    detail = delivery.judge_times([3.0, 1.0, 2.0]).detail
    assert detail == "3 events arrived, in 2.0 ms (median), 3.0 ms at most"
