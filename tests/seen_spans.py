"""A `Tracing` whose spans stay here: the SDK as it is, with nothing behind it."""

from collections.abc import Callable

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Sampler

from constellation_ws.observability.exporting import Ids
from constellation_ws.observability.tracing import Odds, Tracing


class Seen:
    """A `Tracing` and what it has made."""

    def __init__(self, odds: Odds | None = None, sampler: Sampler | None = None) -> None:
        self.exporter = InMemorySpanExporter()
        self.writes: list[Callable[[], None]] = []
        ids = Ids()
        provider = TracerProvider(sampler=sampler, id_generator=ids, shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracing = Tracing(
            provider.get_tracer("test"),
            odds or Odds(),
            begin_as=ids.begin_as,
            after_writes=self.writes.append,
        )

    @property
    def spans(self) -> list[ReadableSpan]:
        """Those that have ended, in that order."""
        return list(self.exporter.get_finished_spans())

    def named(self, name: str) -> ReadableSpan:
        (span,) = [span for span in self.spans if span.name == name]
        return span

    def written(self) -> None:
        """The sockets have got it all."""
        for call in self.writes:
            call()
        self.writes.clear()
