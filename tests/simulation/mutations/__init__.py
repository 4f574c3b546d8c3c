"""Faults of the gateway that the simulation must find, each as a patch of one place."""

from __future__ import annotations

from collections.abc import Callable

MUTATIONS: dict[str, Callable[[], None]] = {}
