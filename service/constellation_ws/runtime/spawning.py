"""The type of the function that runs a coroutine in a task of its own."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

Spawn = Callable[[Coroutine[Any, Any, None]], object]
"""Runs a coroutine in a task."""
