"""Coverage-guided fuzzing of tokens and key sets, by hand; atheris is not among the dependencies.

    pip install atheris
    python -m tests.fuzz.fuzz_jwt -- -max_total_time=60

Lives here: the wiring to atheris. What has to hold is in jwt_invariants.
"""

import sys

import atheris

with atheris.instrument_imports(include=["service", "jwt"]):
    from tests.fuzz.jwt_invariants import check_bytes, check_parts


def fuzz(data: bytes) -> None:
    """Try one input as a token, and as the parts of one."""
    check_bytes(data)
    header, _, rest = data.partition(b"\0")
    payload, _, signature = rest.partition(b"\0")
    check_parts(header, payload, signature)
    check_parts(b'{"alg":"HS256"}', header, payload)


if __name__ == "__main__":
    atheris.Setup([argument for argument in sys.argv if argument != "--"], fuzz)
    atheris.Fuzz()
