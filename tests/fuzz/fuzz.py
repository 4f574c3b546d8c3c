"""Coverage-guided fuzzing of one harness by atheris: `python -m tests.fuzz.fuzz NAME [OPTION...]`.

The options are libFuzzer's. Lives here: the wiring. What has to hold is said by the invariants.

Much is read in C, where coverage sees nothing, and bytes changed one by one seldom stay JSON. So
every other input is one of the corpus changed in pieces that mean something.
"""

import random
import sys

import atheris

with atheris.instrument_imports(include=["constellation_ws", "socketio", "engineio", "jwt"]):
    from tests.fuzz.harnesses import HARNESSES
    from tests.fuzz.mutations import mutated

if __name__ == "__main__":
    name, *options = sys.argv[1:]
    (harness,) = (one for one in HARNESSES if one.name == name)
    kept = harness.inputs()

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        """Make the next input, which libFuzzer's seed decides."""
        chance = random.Random(seed)
        if chance.random() < 0.5:
            return mutated([data, chance.choice(kept)], chance)[:max_size]
        return bytes(atheris.Mutate(data, max_size))

    atheris.Setup([sys.argv[0], *options], harness.check, custom_mutator=mutate)
    atheris.Fuzz()
