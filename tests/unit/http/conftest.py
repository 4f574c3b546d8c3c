"""The loop of these tests: the one that the gateway runs on."""

from tests.unit.engine.conftest import pytest_asyncio_loop_factories

__all__ = ["pytest_asyncio_loop_factories"]
