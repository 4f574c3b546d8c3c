"""The settings of the console: nobody gets in by a setting that was left out."""

from __future__ import annotations

import pytest

from constellation_ws.settings.settings import InvalidSettings, load

CONSOLE, ACCESS = "CONSTELLATION_CONSOLE", "CONSTELLATION_CONSOLE_ACCESS"
KEY, PORT = "CONSTELLATION_CONSOLE_KEY", "CONSTELLATION_METRICS_PORT"
GOOD = "a-key-of-operators"


def test_it_is_off_and_shows_no_texts_by_default() -> None:
    assert (load().console.mode, load().console.console_events) == ("off", "metadata")


@pytest.mark.parametrize(
    "variables",
    [
        {CONSOLE: "read", PORT: "9090", KEY: GOOD},
        {CONSOLE: "write", PORT: "9090", ACCESS: "proxy"},
        {CONSOLE: "local", "CONSTELLATION_WS_HOST": "127.0.0.1"},
    ],
)
def test_what_fits_together_is_accepted(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert GOOD not in repr(load())


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({CONSOLE: "read", KEY: GOOD}, f"requires {PORT}"),
        ({CONSOLE: "read", PORT: "9090"}, f"requires {KEY}"),
        ({CONSOLE: "local"}, "requires CONSTELLATION_WS_HOST=127.0.0.1"),
        ({CONSOLE: "local", "CONSTELLATION_WS_HOST": "0.0.0.0"}, "it has no key"),
        ({KEY: GOOD}, f"{KEY} has no effect"),
        ({CONSOLE: "write", PORT: "9090", ACCESS: "proxy", KEY: GOOD}, f"{KEY} has no effect"),
        ({CONSOLE: "read", PORT: "9090", KEY: "short"}, "16 or more"),
        ({CONSOLE: "read", PORT: "9090", KEY: "two:parts-and-long"}, "16 or more"),
    ],
)
def test_what_does_not_is_told_without_the_key(
    variables: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings) as caught:
        load()
    (line,) = str(caught.value).splitlines()
    assert words in line
    assert variables.get(KEY, "not shown") not in line
