"""Where Redis is, as the settings say, and which channels emitters publish on."""

from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.unit.settings.test_settings import faults, read


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({"REDIS_HOST": "redis", "REDIS_PORT": "6380", "REDIS_DB": "2"}, "redis://redis:6380/2"),
        ({"REDIS_HOST": "::1"}, "redis://[::1]:6379/0"),
        ({"REDIS_PASSWORD": "p@ss/word"}, "redis://:p%40ss%2Fword@localhost:6379/0"),
        ({"REDIS_URL": "rediss://a:b@c/1", "REDIS_HOST": "redis"}, "rediss://a:b@c/1"),
    ],
)
def test_the_url_wins_over_the_four(variables: dict[str, str], address: str) -> None:
    assert read(**variables).redis.address() == address


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({"CONSTELLATION_REDIS_USERNAME": "a@b"}, "redis://a%40b:@localhost:6379/0"),
        (
            {"CONSTELLATION_REDIS_USERNAME": "a", "REDIS_PASSWORD": "p/w"},
            "redis://a:p%2Fw@localhost:6379/0",
        ),
        (
            {"REDIS_URL": "rediss://c", "CONSTELLATION_REDIS_URL_PASSWORD": "p/w"},
            "rediss://:p%2Fw@c",
        ),
        ({"REDIS_URL": "rediss://c", "REDIS_PASSWORD": "p"}, "rediss://c"),
        (
            {
                "REDIS_URL": "redis+sentinel://c/0/d",
                "CONSTELLATION_REDIS_USERNAME": "a",
                "CONSTELLATION_REDIS_URL_PASSWORD": "p",
                "CONSTELLATION_REDIS_SENTINEL_PASSWORD": "s",
            },
            "redis+sentinel://a:p@c/0/d?sentinel_password=s",
        ),
    ],
)
def test_credentials_of_their_own_need_no_encoding(variables: dict[str, str], address: str) -> None:
    assert read(**variables).redis.address() == address


SENTINEL = "CONSTELLATION_REDIS_SENTINEL_PASSWORD"


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"CONSTELLATION_REDIS_URL_PASSWORD": "hunter2"}, "use REDIS_PASSWORD"),
        (
            {"CONSTELLATION_REDIS_URL_PASSWORD": "hunter2", "REDIS_URL": "redis://:hunter2@a"},
            "CONSTELLATION_REDIS_URL_PASSWORD is set, and REDIS_URL has",
        ),
        (
            {"CONSTELLATION_REDIS_USERNAME": "a", "REDIS_URL": "redis://a?password=hunter2"},
            "CONSTELLATION_REDIS_USERNAME is set, and REDIS_URL has",
        ),
        ({SENTINEL: "hunter2", "REDIS_URL": "redis://a"}, "needs Sentinels"),
        ({SENTINEL: "hunter2"}, "needs Sentinels"),
        (
            {SENTINEL: "hunter2", "REDIS_URL": "redis+sentinel://a/0/b?sentinel_password=hunter2"},
            "REDIS_URL has a sentinel_password too",
        ),
    ],
)
def test_credentials_that_contradict_the_url_are_refused(
    variables: dict[str, str], says: str
) -> None:
    (fault,) = faults(**variables)
    assert says in fault
    assert "hunter2" not in fault


def test_a_url_that_is_not_shown_is_refused_with_its_reason() -> None:
    (line,) = faults(REDIS_URL="redis+cluster://:hunter2@a:1/3")

    assert line.startswith("REDIS_URL is (set, not shown): a Cluster has only database 0")
    assert "; it must be a URL (secret) such as `redis://" in line


@pytest.mark.parametrize("scheme", ["rediss://redis/0", "rediss://user:hunter2@redis:6380"])
def test_files_of_redis_tls_are_read_at_the_start(scheme: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    cert, key = authority.issue("gateway")
    good = f"{scheme}?ssl_ca_certs={authority.cert_file}&ssl_certfile={cert}&ssl_keyfile={key}"
    read(REDIS_URL=good)

    missing = tmp_path / "missing"
    assert faults(REDIS_URL=f"{scheme}?ssl_ca_certs={missing}") == [
        f"REDIS_URL names '{missing}' as ssl_ca_certs: it cannot be read (No such file or "
        "directory)"
    ]
    (line,) = faults(REDIS_URL=good.replace(f"ssl_keyfile={key}", f"ssl_keyfile={cert}"))
    assert line.startswith(f"REDIS_URL names '{cert}' as ssl_keyfile: it has no PEM private key")


@pytest.mark.parametrize(
    ("key", "patterns"),
    [
        ("", ("socket.io#*", "socket.io-request#*")),
        ("app:chat", ("app:chat#*", "app:chat-request#*")),
        ("off", ()),
        ("OFF", ()),
    ],
)
def test_the_emitters_key_names_their_channels(key: str, patterns: tuple[str, ...]) -> None:
    assert read(CONSTELLATION_EMITTER_KEY=key).redis.emitter_channels().patterns == patterns


@pytest.mark.parametrize("key", ["a*", "a?", "[ab]", "a\\", "a#b", "a b", "x" * 65])
def test_an_emitters_key_that_a_pattern_would_read_otherwise_is_refused(key: str) -> None:
    (fault,) = faults(CONSTELLATION_EMITTER_KEY=key)
    assert "CONSTELLATION_EMITTER_KEY" in fault
    assert "or `off`" in fault
