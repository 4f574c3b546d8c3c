"""Work that a part begins beside what runs; how it is begun is its owner's to know."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

Spawn = Callable[[Coroutine[Any, Any, None]], object]
"""Runs a coroutine in a task."""
