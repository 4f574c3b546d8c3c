"""The settings of announcing online and offline: what contradicts is told at the start."""

from __future__ import annotations

import pytest

from constellation_ws.settings.settings import InvalidSettings, load

EVENTS, URL = "CONSTELLATION_PRESENCE_EVENTS", "CONSTELLATION_PRESENCE_URL"
KEY = "CONSTELLATION_PRESENCE_KEY"


def fault(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    """The line that stops the start."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings) as caught:
        load()
    (line,) = str(caught.value).splitlines()
    return line


def test_nothing_is_announced_by_default() -> None:
    assert load().presence.presence_events == "off"


def test_a_url_and_a_key_are_for_posting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ((EVENTS, "http"), (URL, "https://api/presence"), (KEY, "hunter2")):
        monkeypatch.setenv(name, value)
    settings = load()
    assert settings.presence.presence_url == "https://api/presence"
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize("mode", ["off", "redis"])
@pytest.mark.parametrize(("name", "value"), [(URL, "http://api/"), (KEY, "hunter2")])
def test_what_has_no_effect_is_refused(
    mode: str, name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = fault(monkeypatch, **{EVENTS: mode, name: value})
    assert line == f"{name} has no effect: set {EVENTS}=http, or remove it"


def test_posting_requires_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fault(monkeypatch, **{EVENTS: "http"}) == f"{EVENTS}=http requires {URL}"


@pytest.mark.parametrize(
    "url",
    ["api/presence", "tcp://api:1", "http://", "http://user:pw@api/", "http://a b/", "http://a:0/"],
)
def test_a_url_that_cannot_be_posted_to_is_refused(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = fault(monkeypatch, **{EVENTS: "http", URL: url})
    assert "it must be a URL without credentials that begins with `http://` or `https://`" in line
