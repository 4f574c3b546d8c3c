"""The settings of the HTTP API: faults are told at the start, and no line shows a key."""

from __future__ import annotations

import pytest

from constellation_ws.settings.settings import InvalidSettings, load

KEYS = "billing:0123456789abcdef,mailer:fedcba9876543210:send"


def lines(monkeypatch: pytest.MonkeyPatch, **variables: str) -> list[str]:
    """What stops the start."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings) as caught:
        load()
    return str(caught.value).splitlines()


def test_without_a_port_there_is_no_api() -> None:
    settings = load()

    assert (settings.api.api_port, settings.api_connections()) == (None, 0)


def test_a_port_and_keys_are_an_api(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONSTELLATION_API_PORT", "8080")
    monkeypatch.setenv("CONSTELLATION_API_KEYS", KEYS)

    settings = load()

    assert (settings.api.api_port, settings.api_connections()) == (8080, 1_000)
    assert [key.name for key in settings.api.callers()] == ["billing", "mailer"]
    assert "0123456789abcdef" not in repr(settings)


def test_a_port_without_keys_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = lines(monkeypatch, CONSTELLATION_API_PORT="0")
    assert line.startswith("CONSTELLATION_API_PORT is set: set CONSTELLATION_API_KEYS too")


def test_keys_without_a_port_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = lines(monkeypatch, CONSTELLATION_API_KEYS=KEYS)
    assert line.startswith("CONSTELLATION_API_KEYS has no effect: set CONSTELLATION_API_PORT")


def test_every_key_that_cannot_be_used_has_a_line_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = lines(
        monkeypatch,
        CONSTELLATION_API_PORT="0",
        CONSTELLATION_API_KEYS="a:tooshort,b:0123456789abcdef:write,c:0123456789abcdeg,c:0123456789abcdeh",
    )

    assert [line.partition(";")[0] for line in found] == [
        "CONSTELLATION_API_KEYS (set, not shown): entry 1 has a key of 8 characters",
        "CONSTELLATION_API_KEYS (set, not shown): entry 2 has an unknown scope",
        "CONSTELLATION_API_KEYS (set, not shown): entries 3 and 4 have the same name: use one for "
        "each caller",
    ]
    assert not any(key in line for line in found for key in ("tooshort", "0123456789"))


def test_the_port_must_be_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = lines(monkeypatch, CONSTELLATION_API_PORT="7000", CONSTELLATION_API_KEYS=KEYS)
    assert line == "WS_PORT and CONSTELLATION_API_PORT both are 7000: use different ports"
