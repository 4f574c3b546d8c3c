"""Coverage-guided fuzzing of the WebSocket parser, by hand; atheris is not among the dependencies.

    pip install atheris
    python -m tests.fuzz.fuzz_websocket -- -max_total_time=60

Lives here: the wiring to atheris. What has to hold is in websocket_invariants.
"""

import sys

import atheris

with atheris.instrument_imports(include=["service.websocket"]):
    from tests.fuzz.websocket_invariants import check_frames, check_stream


def fuzz(data: bytes) -> None:
    """Try one input as it is and as a recipe for frames."""
    check_stream(data)
    check_frames(data)


if __name__ == "__main__":
    atheris.Setup([argument for argument in sys.argv if argument != "--"], fuzz)
    atheris.Fuzz()
