"""The image that all tests here look at and run: built once, or not at all with the reason.

A machine that cannot build images skips everything. One that can, and does not, fails.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.image import building, machine
from tests.image.building import Image
from tests.image.running import Runner, choose_runner

_RUNNER = pytest.StashKey[str]()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Tell what ran the containers: it is not the same everywhere."""
    if said := config.stash.get(_RUNNER, ""):
        terminalreporter.write_line(f"containers were run by {said}")


@pytest.fixture(scope="session")
def image() -> Iterator[Image]:
    """The image, mounted to look at."""
    if reason := machine.obstacle():
        pytest.skip(reason)
    machine.configure()
    try:
        building.build_base()
    except machine.Failed as error:
        pytest.skip(f"no base can be made here: {error}")
    image = building.build()
    yield image
    machine.podman("image", "unmount", "--all", "--force")
    machine.release()


@pytest.fixture(scope="session")
def run_by(image: Image, pytestconfig: pytest.Config) -> Runner:
    """What runs containers here."""
    chosen, words = choose_runner(image)
    pytestconfig.stash[_RUNNER] = words
    return chosen
