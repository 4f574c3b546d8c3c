"""A seed is a plan: the same disasters, in the same order, for as long."""

from __future__ import annotations

from tests.chaos.plan import Lane, Span, draw, lines_of

SPANS = {
    Lane.REDIS: {name: Span(1, 20) for name in ("hang", "full", "flushall")},
    Lane.PODS: {"roll": Span(0, 0), "kill": Span(0, 0)},
}
REST = Span(4, 8)


def test_a_seed_replays_its_plan() -> None:
    assert draw("7", SPANS, REST) == draw("7", SPANS, REST)
    assert draw("7", SPANS, REST) != draw("8", SPANS, REST)


def test_every_disaster_strikes_in_every_round() -> None:
    plan = draw("7", SPANS, REST, rounds=2)
    for lane, spans in SPANS.items():
        names = [step.name for step in plan[lane]]
        half = len(names) // 2
        assert sorted(names[:half]) == sorted(names[half:]) == sorted(spans)


def test_times_lie_within_their_spans_and_each_step_draws_for_itself() -> None:
    steps = [step for lane in draw("7", SPANS, REST).values() for step in lane]
    assert len({step.seed for step in steps}) == len(steps)
    for step in steps:
        assert REST.shortest <= step.rest_seconds <= REST.longest
        span = {**SPANS[Lane.REDIS], **SPANS[Lane.PODS]}[step.name]
        assert span.shortest <= step.seconds <= span.longest


def test_a_plan_can_be_read() -> None:
    (redis, pods) = lines_of(draw("7", SPANS, REST))
    assert redis.startswith("  redis")
    assert "roll 0 s" in pods
