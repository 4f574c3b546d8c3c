"""What settings take, in words, and the types that check it."""

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import BaseModel, Field, SecretStr, ValidationError

from constellation_ws.settings.kinds import (
    Host,
    LogFormat,
    LogLevel,
    Origins,
    ReadableFile,
    RedisUrl,
    is_secret,
    kind,
)


class _Taken(BaseModel):
    text: str = ""
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    count: Annotated[int, Field(ge=1)] = 1
    seconds: Annotated[float, Field(gt=0, le=3600)] = 1
    share: Annotated[float, Field(ge=0, lt=1)] = 0
    secret: SecretStr = SecretStr("")
    host: Host = ""
    redis_url: RedisUrl = None
    file: ReadableFile = None
    origins: Origins = ()
    level: LogLevel = "info"
    format: LogFormat = "auto"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("text", "text"),
        ("port", "a whole number from 0 to 65,535"),
        ("count", "a whole number from 1"),
        ("seconds", "a number above 0, at most 3,600"),
        ("share", "a number from 0 below 1"),
        ("secret", "text (secret)"),
        ("host", "a host name or an IP address, without a port"),
        ("file", "the path of a readable file"),
        ("format", "`auto` or `json` or `console`"),
    ],
)
def test_a_kind_says_what_is_taken(name: str, words: str) -> None:
    assert kind(_Taken.model_fields[name]) == words


def test_only_the_password_and_the_url_are_secrets() -> None:
    secret = [name for name, field in _Taken.model_fields.items() if is_secret(field)]

    assert secret == ["secret", "redis_url"]


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("*", ("*",)),
        ("https://a.example", ("https://a.example",)),
        (
            " https://a.example , http://localhost:3000",
            ("https://a.example", "http://localhost:3000"),
        ),
        ("capacitor://localhost", ("capacitor://localhost",)),
    ],
)
def test_origins_are_separated_by_commas(text: str, origins: tuple[str, ...]) -> None:
    assert _Taken.model_validate({"origins": text}).origins == origins


@pytest.mark.parametrize(
    "text", ["https://a.example/", "a.example", "", "https://a.example,,*", "**"]
)
def test_what_no_browser_sends_is_no_origin(text: str) -> None:
    with pytest.raises(ValidationError):
        _Taken.model_validate({"origins": text})


def test_levels_and_formats_may_be_shouted() -> None:
    taken = _Taken.model_validate({"level": "WARNING", "format": "Json"})

    assert (taken.level, taken.format) == ("warning", "json")


def test_a_file_must_be_there(tmp_path: Path) -> None:
    there = tmp_path / "routes.toml"
    there.touch()

    assert _Taken.model_validate({"file": str(there)}).file == there
    for absent in (tmp_path, tmp_path / "none"):
        with pytest.raises(ValidationError):
            _Taken.model_validate({"file": str(absent)})
