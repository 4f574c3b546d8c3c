"""What is not supported is counted each time, and logged once a minute for each kind."""

from structlog.testing import capture_logs

from constellation_ws.messages.redis_emitter import Unsupported
from constellation_ws.observability.metrics import Metrics
from constellation_ws.observability.unsupported import LOG_SECONDS, UnsupportedMessages


def test_each_kind_is_logged_at_once_and_then_once_a_minute_with_how_many_there_were() -> None:
    metrics, times = Metrics(), [1_000.0]
    messages = UnsupportedMessages(metrics, lambda: times[-1])
    with capture_logs() as lines:
        for _ in range(5):
            messages.note(Unsupported.QUERY)
        messages.note(Unsupported.NAMESPACE)
        times.append(times[-1] + LOG_SECONDS - 0.1)
        messages.note(Unsupported.QUERY)
        times.append(times[-1] + 0.1)
        messages.note(Unsupported.QUERY)
    logged = [(line["kind"], line["messages"]) for line in lines]
    assert logged == [("query", 1), ("namespace", 1), ("query", 6)]
    assert metrics.unsupported.of("query").value == 7
    assert {line["log_level"] for line in lines} == {"warning"}


def test_every_kind_has_a_sentence_of_its_own_and_a_metric_from_the_beginning() -> None:
    metrics = Metrics()
    messages = UnsupportedMessages(metrics)
    with capture_logs() as lines:
        for kind in Unsupported:
            assert metrics.unsupported.of(kind.value).value == 0
            messages.note(kind)
    assert len({line["event"] for line in lines}) == len(Unsupported)
