"""Who may join a chat, as the environment says it: what fits together, and what does not."""

from __future__ import annotations

import pytest

from constellation_ws.settings.settings import effective
from tests.unit.settings.test_settings import faults, read

PREFIX = "CONSTELLATION_CHAT_ACCESS"


def test_every_chat_is_open_unless_somebody_says_otherwise() -> None:
    assert read().chat_access.mode == "open"
    assert read().chat_access.chat_access_timeout_seconds == 2


@pytest.mark.parametrize(
    ("mode", "url"),
    [
        ("open", None),
        ("http", "http://api/access"),
        ("http", "https://api.example.com:8443/v1/access?from=gateway"),
        ("nest", "tcp://api:3001"),
        ("nest", "tcp://[::1]:3001"),
    ],
)
def test_a_mode_and_its_url_fit_together(mode: str, url: str | None) -> None:
    values = read(**{PREFIX: mode, **({f"{PREFIX}_URL": url} if url else {})})
    assert (values.chat_access.mode, values.chat_access.chat_access_url) == (mode, url)


@pytest.mark.parametrize(
    ("mode", "url", "begins"),
    [
        ("http", None, "http:// or https://"),
        ("http", "tcp://api:3001", "http:// or https://"),
        ("nest", None, "tcp://"),
        ("nest", "http://api", "tcp://"),
    ],
)
def test_a_mode_without_its_url_is_refused_with_a_sentence(
    mode: str, url: str | None, begins: str
) -> None:
    (fault,) = faults(**{PREFIX: mode, **({f"{PREFIX}_URL": url} if url else {})})
    assert fault == f"{PREFIX}={mode} requires that {PREFIX}_URL begins with {begins}"


def test_claims_of_tokens_that_nobody_asks_for_are_refused_with_a_sentence() -> None:
    (fault,) = faults(**{PREFIX: "claim"})
    assert fault.startswith(f"{PREFIX}=claim requires CONSTELLATION_AUTH_MODE=jwt: ")
    secret = "0123456789abcdef0123456789abcdef"
    values = read(
        **{PREFIX: "claim", "CONSTELLATION_AUTH_MODE": "jwt", "CONSTELLATION_JWT_SECRET": secret}
    )
    assert values.chat_access.mode == "claim"


@pytest.mark.parametrize(
    "url",
    [
        "api",
        "api:3001",
        "ftp://api",
        "http://",
        "http:///path",
        "http://api:99999/",
        "http://user:hunter2@api/",
        "http://api/a b",
        "http://api/\n",
        "tcp://api",
        "tcp://api:3001/path",
        "tcp://:3001",
    ],
)
def test_what_is_no_url_of_an_api_is_refused_and_no_password_is_shown(url: str) -> None:
    fault = faults(**{f"{PREFIX}_URL": url})[0]
    assert fault.startswith(f"{PREFIX}_URL is ")
    assert "without credentials" in fault
    assert "hunter2" not in fault


@pytest.mark.parametrize("token", ["hunter2\r\nX-Admin: 1", "hunter2 hunter2", "hunter2é"])
def test_a_token_that_no_header_can_carry_is_refused_unseen(token: str) -> None:
    (fault,) = faults(**{f"{PREFIX}_TOKEN": token})
    assert fault.startswith(f"{PREFIX}_TOKEN is (set, not shown)")
    assert "hunter2" not in fault


def test_a_token_is_never_shown() -> None:
    values = read(**{f"{PREFIX}_TOKEN": "hunter2"})
    assert "hunter2" not in repr(values) + repr(list(effective(values)))


@pytest.mark.parametrize("seconds", ["0", "-1", "61", "inf", "nan", "soon"])
def test_a_timeout_is_some_seconds(seconds: str) -> None:
    assert faults(**{f"{PREFIX}_TIMEOUT_SECONDS": seconds})
