"""The harnesses by name: what each tries any bytes on, and what it had in its corpus so far.

The corpus is kept: files that once led somewhere, and those that once broke something.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz import (
    answer_invariants,
    backend_invariants,
    event_invariants,
    jwt_invariants,
    link_invariants,
    nest_invariants,
    packet_invariants,
    trace_invariants,
    websocket_invariants,
)

CORPUS = Path(__file__).parent / "corpus"


@dataclass(frozen=True, slots=True)
class Harness:
    """Something that has to hold for any bytes."""

    name: str
    check: Callable[[bytes], None]
    """AssertionError, or whatever else is raised, where it does not hold."""

    @property
    def corpus(self) -> Path:
        """The folder of its inputs."""
        return CORPUS / self.name

    def inputs(self) -> list[bytes]:
        """All that its corpus holds."""
        return [file.read_bytes() for file in sorted(self.corpus.iterdir())]


def _check_websocket(data: bytes) -> None:
    websocket_invariants.check_stream(data)
    websocket_invariants.check_frames(data)


def _check_token(data: bytes) -> None:
    """Try one input as a token, and as the parts of one."""
    jwt_invariants.check_bytes(data)
    header, _, rest = data.partition(b"\0")
    payload, _, signature = rest.partition(b"\0")
    jwt_invariants.check_parts(header, payload, signature)
    jwt_invariants.check_parts(b'{"alg":"HS256"}', header, payload)


HARNESSES = [
    Harness("websocket", _check_websocket),
    Harness("packets", packet_invariants.check),
    Harness("nest", nest_invariants.check),
    Harness("events", event_invariants.check_event),
    Harness("commands", event_invariants.check_command),
    Harness("emitters", event_invariants.check_emitter),
    Harness("routes", event_invariants.check_table),
    Harness("traces", trace_invariants.check),
    Harness("tokens", _check_token),
    Harness("answers", answer_invariants.check),
    Harness("backends", backend_invariants.check),
    Harness("links", link_invariants.check),
]
