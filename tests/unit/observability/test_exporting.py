"""What the SDK is set up with: whose spans they are, and that odds and sampler agree."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from constellation_ws.observability.exporting import Ids, make_exporter, root_bound
from constellation_ws.observability.tracing import ALWAYS


def at(ratio: str, sampler: str = "parentbased_traceidratio") -> dict[str, str]:
    return {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": ratio}


@given(
    st.floats(0, 1),
    st.integers(0, ALWAYS - 1),
    st.sampled_from(["traceidratio", "ParentBased_TraceIdRatio"]),
)
def test_the_bound_is_where_the_sampler_begins_to_say_no(
    ratio: float, low_bits: int, sampler: str
) -> None:
    ids = Ids()
    ids.begin_as(low_bits)
    trace_id = ids.generate_trace_id()
    decision = TraceIdRatioBased(ratio).should_sample(None, trace_id, "x").decision
    assert decision.is_sampled() is (low_bits < root_bound(at(str(ratio), sampler)))


@pytest.mark.parametrize(
    ("environment", "bound"),
    [
        ({}, ALWAYS),
        ({"OTEL_TRACES_SAMPLER": "always_on"}, ALWAYS),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, 0),
        ({"OTEL_TRACES_SAMPLER": "another", "OTEL_TRACES_SAMPLER_ARG": "0.1"}, ALWAYS),
        (at("0"), 0),
        (at("1"), ALWAYS),
        (at("2"), ALWAYS),
        (at("much"), ALWAYS),
        (at(""), ALWAYS),
    ],
)
def test_other_samplers_begin_none_or_are_asked_each_time(
    environment: dict[str, str], bound: int
) -> None:
    assert root_bound(environment) == bound


def test_an_id_that_begins_is_used_once_and_all_of_it_is_random() -> None:
    ids = Ids()
    ids.begin_as(7)
    first, second = ids.generate_trace_id(), ids.generate_trace_id()
    assert first & (ALWAYS - 1) == 7
    assert second & (ALWAYS - 1) != 7
    assert first >> 64 not in (0, second >> 64)


def test_what_the_operator_says_goes_before_what_we_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.name=pod-1,service.instance.id=i")
    tracing, shut_down = make_exporter({}, lambda work: work())
    try:
        resource = tracing.tracer.resource.attributes  # type: ignore[attr-defined]  # the SDK's own
        assert resource["service.name"] == "constellation-ws"
        assert (resource["service.instance.id"], resource["k8s.pod.name"]) == ("i", "pod-1")
        assert isinstance(tracing.tracer.sampler, ParentBased)  # type: ignore[attr-defined]
    finally:
        shut_down()
