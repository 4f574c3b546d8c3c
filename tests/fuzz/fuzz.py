"""Coverage-guided fuzzing of one harness by atheris: `python -m tests.fuzz.fuzz NAME [OPTION...]`.

The options are libFuzzer's. Lives here: the wiring. What has to hold is said by the invariants.
"""

import sys

import atheris

with atheris.instrument_imports(include=["service", "socketio", "engineio", "jwt"]):
    from tests.fuzz.harnesses import HARNESSES

if __name__ == "__main__":
    name, *options = sys.argv[1:]
    (harness,) = (one for one in HARNESSES if one.name == name)
    atheris.Setup([sys.argv[0], *options], harness.check)
    atheris.Fuzz()
