"""The environment, read once: names, defaults, faults, and secrets that stay secret."""

import os
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from constellation_ws.settings import settings
from constellation_ws.settings.kinds import kind
from constellation_ws.settings.settings import InvalidSettings, Settings, load
from tests.certificates import Authority

# What an environment can hold. The marker is what must never be seen again.
SECRETS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")).map(
    lambda text: f"hunter2{text}"
)


PING_TIMEOUT_2 = {"CONSTELLATION_PING_TIMEOUT_SECONDS": "2"}


@contextmanager
def acting_as_nobody() -> Iterator[None]:
    """Give up root's right to read every file, where the tests run as root."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(user)


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Exactly these variables."""
    with patch.dict(os.environ, variables, clear=True):
        yield


def read(**variables: str) -> Settings:
    with environment(variables):
        return load()


def faults(**variables: str) -> list[str]:
    with pytest.raises(InvalidSettings) as refusal:
        read(**variables)
    return str(refusal.value).splitlines()


@pytest.mark.parametrize(
    ("variable", "name", "default"),
    [
        ("WS_PORT", "ws_port", 7000),
        ("TCP_PORT", "tcp_port", 7756),
        ("TCP_HOST", "tcp_host", "127.0.0.1"),
        ("REDIS_HOST", "redis_host", "localhost"),
        ("REDIS_PORT", "redis_port", 6379),
        ("REDIS_DB", "redis_db", 0),
        ("REDIS_URL", "redis_url", None),
    ],
)
def test_the_contract_s_variables_keep_their_names_and_defaults(
    variable: str, name: str, default: object
) -> None:
    assert getattr(read(), name) == default
    assert variable in dict(settings.fields())


def test_every_other_variable_carries_the_prefix() -> None:
    contract = {"WS_PORT", "TCP_PORT", "TCP_HOST", "REDIS_HOST", "REDIS_PORT", "REDIS_DB"}
    others = dict(settings.fields()).keys() - contract - {"REDIS_PASSWORD", "REDIS_URL"}

    assert others
    assert [name for name in others if not name.startswith("CONSTELLATION_")] == []


def test_every_variable_says_what_it_is_for_and_what_it_takes() -> None:
    for _, field in settings.fields():
        assert field.description
        assert kind(field)


def test_an_empty_variable_counts_as_none() -> None:
    values = read(WS_PORT="", REDIS_PASSWORD="", REDIS_URL="", CONSTELLATION_ROUTES_FILE="")

    assert values == read()
    assert values.redis_address() == "redis://localhost:6379/0"


def test_what_was_read_cannot_be_changed() -> None:
    values: Any = read()

    with pytest.raises(ValidationError, match="frozen"):
        values.ws_port = 1


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
    assert read(**variables).redis_address() == address


@pytest.mark.parametrize(
    ("variable", "value", "takes"),
    [
        ("WS_PORT", "seven", "a whole number from 0 to 65,535"),
        ("WS_PORT", "70000", "a whole number from 0 to 65,535"),
        ("TCP_PORT", "-1", "a whole number from 0 to 65,535"),
        ("REDIS_PORT", "6379x", "a whole number from 0 to 65,535"),
        ("REDIS_DB", "-1", "a whole number from 0"),
        ("REDIS_HOST", "redis:6379", "a host name or an IP address, without a port"),
        ("CONSTELLATION_LOG_FORMAT", "xml", "`auto` or `json` or `console`"),
        ("CONSTELLATION_DRAIN_WINDOW_SECONDS", "soon", "a number from 0 to 86,400"),
        ("CONSTELLATION_DRAIN_WINDOW_SECONDS", "nan", "a number from 0 to 86,400"),
        ("CONSTELLATION_PING_INTERVAL_SECONDS", "0", "a number above 0, at most 3,600"),
        ("CONSTELLATION_ROUTES_FILE", "no-such-file.toml", "the path of a readable file"),
    ],
)
def test_a_fault_names_the_variable_what_it_holds_and_what_it_takes(
    variable: str, value: str, takes: str
) -> None:
    assert faults(**{variable: value}) == [f"{variable} is {value!r}; it must be {takes}"]


def test_every_fault_has_its_line() -> None:
    lines = faults(WS_PORT="seven", REDIS_URL="localhost", CONSTELLATION_MAX_ID_CHARS="0")

    names = {"WS_PORT", "REDIS_URL", "CONSTELLATION_MAX_ID_CHARS"}
    assert {line.split()[0] for line in lines} == names
    assert len(lines) == len(names)


def test_a_url_that_is_not_shown_is_refused_with_its_reason() -> None:
    (line,) = faults(REDIS_URL="redis+cluster://:hunter2@a:1/3")

    assert line.startswith("REDIS_URL is (set, not shown): a Cluster has only database 0")
    assert "; it must be a URL (secret) such as `redis://" in line


def test_a_request_must_fit_into_a_packet() -> None:
    lines = faults(CONSTELLATION_MAX_REQUEST_BYTES="2000", CONSTELLATION_MAX_PAYLOAD_BYTES="1000")

    assert len(lines) == 1
    assert "CONSTELLATION_MAX_REQUEST_BYTES" in lines[0]
    assert "CONSTELLATION_MAX_PAYLOAD_BYTES" in lines[0]


def test_the_tcp_port_reads_what_it_refuses_as_too_large() -> None:
    values = read()
    assert values.tcp_max_frame_bytes > values.max_event_bytes

    (line,) = faults(CONSTELLATION_MAX_EVENT_BYTES="2000000")
    assert line.startswith("CONSTELLATION_TCP_MAX_FRAME_BYTES")
    assert "CONSTELLATION_MAX_EVENT_BYTES" in line
    both = {"MAX_EVENT_BYTES": "2000000", "TCP_MAX_FRAME_BYTES": "2004096"}
    read(**{f"CONSTELLATION_{name}": value for name, value in both.items()})
    read(CONSTELLATION_TCP_MAX_FRAME_BYTES="10000")  # what the port takes was decided


def test_a_limit_that_the_handshake_itself_exceeds_is_refused() -> None:
    lines = faults(CONSTELLATION_MAX_PAYLOAD_BYTES="124", CONSTELLATION_MAX_REQUEST_BYTES="100")

    assert len(lines) == 1
    assert lines[0].startswith("CONSTELLATION_MAX_PAYLOAD_BYTES")
    assert "512" in lines[0]


def test_typos_are_found_and_known_names_are_not() -> None:
    with environment({"CONSTELLATION_LOG_LEVEL": "info", "CONSTELLATION_LOGLEVEL": "debug"}):
        (typo,) = settings.unknown_variables()

    assert typo.closest == "CONSTELLATION_LOG_LEVEL"


@given(secret=SECRETS)
def test_no_view_of_the_settings_shows_the_password(secret: str) -> None:
    values = read(REDIS_PASSWORD=secret)

    assert values.redis_password.get_secret_value() == secret
    assert "hunter2" not in _views(values)


@given(secret=SECRETS)
def test_neither_a_refusal_nor_its_traceback_nor_any_view_shows_a_secret_of_the_url(
    secret: str,
) -> None:
    try:
        seen = _views(read(REDIS_URL=f"redis://gateway:{secret}@redis:6379/0"))
    except InvalidSettings as refusal:
        seen = f"{refusal}{''.join(traceback.format_exception(refusal))}"

    assert "hunter2" not in seen


@given(secret=SECRETS)
def test_a_fault_elsewhere_shows_no_secret_either(secret: str) -> None:
    variables = {
        "REDIS_PASSWORD": secret,
        "REDIS_URL": f"redis//:{secret}@redis",
        "REDIS_HOST": f"redis://:{secret}@redis",
        "CONSTELLATION_MAX_REQUEST_BYTES": "2000",
        "CONSTELLATION_MAX_PAYLOAD_BYTES": "1000",
    }

    with environment(variables), pytest.raises(InvalidSettings) as refusal:
        load()

    assert "hunter2" not in "".join(traceback.format_exception(refusal.value))


def _views(values: Settings) -> str:
    shown = [one.value for one in settings.effective(values)]
    return f"{values!r}{values}{shown}{values.redis_label()}{values.model_dump()}"


def test_tls_is_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    together = "must be set together"
    for half in ("CERT", "KEY"):
        assert together in faults(**{f"CONSTELLATION_TCP_TLS_{half}_FILE": str(file)})[0]
    assert "needs" in faults(CONSTELLATION_TCP_TLS_CLIENT_CA_FILE=str(file))[0]


def test_files_of_the_tcp_port_s_tls_are_read_at_the_start(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    cert, key = authority.issue("server")
    _, other_key = authority.issue("other")
    tls = {
        "CONSTELLATION_TCP_TLS_CERT_FILE": str(cert),
        "CONSTELLATION_TCP_TLS_KEY_FILE": str(key),
        "CONSTELLATION_TCP_TLS_CLIENT_CA_FILE": str(authority.cert_file),
    }
    read(**tls)

    wrong = {
        "CONSTELLATION_TCP_TLS_KEY_FILE": str(other_key),
        "CONSTELLATION_TCP_TLS_CLIENT_CA_FILE": str(key),
    }
    assert [line.split(" names ")[0] for line in faults(**tls | wrong)] == list(wrong)


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


def test_an_expired_certificate_is_told_and_does_not_stop_the_start(tmp_path: Path) -> None:
    authority = Authority(tmp_path, days=(-3, -1))
    cert, key = authority.issue("server")
    values = read(
        CONSTELLATION_TCP_TLS_CERT_FILE=str(cert),
        CONSTELLATION_TCP_TLS_KEY_FILE=str(key),
        REDIS_URL=f"rediss://redis?ssl_ca_certs={authority.cert_file}",
    )

    lines = list(values.invalid_certificates(datetime.now(UTC)))
    assert [line.split()[0] for line in lines] == ["CONSTELLATION_TCP_TLS_CERT_FILE", "REDIS_URL"]
    assert list(values.invalid_certificates(datetime.now(UTC) - timedelta(days=2))) == []


def test_a_file_that_may_not_be_read_is_a_fault_like_one_that_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "routes.toml"
    file.touch(mode=0o000)
    expected = f"CONSTELLATION_ROUTES_FILE is {str(file)!r}; it must be the path of a readable file"

    # pytest's folders are open to their owner only, so that root is shut out of them, too.
    with acting_as_nobody():
        assert faults(CONSTELLATION_ROUTES_FILE=str(file)) == [expected]
    assert faults(CONSTELLATION_ROUTES_FILE=str(tmp_path))[0].startswith(
        "CONSTELLATION_ROUTES_FILE"
    )


@pytest.mark.parametrize(
    ("variables", "one", "other"),
    [
        ({"WS_PORT": "7756"}, "WS_PORT", "TCP_PORT"),
        (
            {"CONSTELLATION_METRICS_PORT": "7000"},
            "WS_PORT",
            "CONSTELLATION_METRICS_PORT",
        ),
        (
            {"CONSTELLATION_METRICS_PORT": "7756", "CONSTELLATION_WS_HOST": "127.0.0.1"},
            "TCP_PORT",
            "CONSTELLATION_METRICS_PORT",
        ),
        ({"WS_PORT": "7756", "CONSTELLATION_WS_HOST": "localhost"}, "WS_PORT", "TCP_PORT"),
        ({"WS_PORT": "7756", "CONSTELLATION_WS_HOST": "::1", "TCP_HOST": "::"}, "WS", "TCP"),
    ],
)
def test_two_doors_on_one_port_are_named(variables: dict[str, str], one: str, other: str) -> None:
    (line,) = faults(**variables)

    assert line.startswith(one)
    assert other in line.split(" both are ")[0]


def test_doors_on_free_ports_or_on_other_addresses_do_not_meet() -> None:
    read(WS_PORT="0", TCP_PORT="0", CONSTELLATION_METRICS_PORT="0")
    read(WS_PORT="7756", CONSTELLATION_WS_HOST="10.0.0.1")
    read(WS_PORT="7756", CONSTELLATION_WS_HOST="::1", TCP_HOST="0.0.0.0")


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
    assert read(CONSTELLATION_EMITTER_KEY=key).emitter_channels().patterns == patterns


@pytest.mark.parametrize("key", ["a*", "a?", "[ab]", "a\\", "a#b", "a b", "x" * 65])
def test_an_emitters_key_that_a_pattern_would_read_otherwise_is_refused(key: str) -> None:
    (fault,) = faults(CONSTELLATION_EMITTER_KEY=key)
    assert "CONSTELLATION_EMITTER_KEY" in fault
    assert "or `off`" in fault


def test_an_origin_that_no_page_has_is_named_with_the_reason() -> None:
    (line,) = faults(CONSTELLATION_CORS_ORIGINS="https://a.example,https://b.example/")

    assert line.startswith("CONSTELLATION_CORS_ORIGINS is 'https://a.example,https://b.example/'")
    assert "'https://b.example/' cannot be allowed: " in line


def test_offsets_for_everybody_need_a_log() -> None:
    (line,) = faults(CONSTELLATION_DELIVERY="live", CONSTELLATION_RECOVERY="always")

    assert line.startswith("CONSTELLATION_RECOVERY=always needs CONSTELLATION_DELIVERY=durable")
    read(CONSTELLATION_DELIVERY="live")


def test_a_window_must_outlast_the_time_in_which_a_client_notices_a_cut() -> None:
    window = "CONSTELLATION_RECOVERY_WINDOW_SECONDS"
    (line,) = faults(**{window: "44.9"})

    assert line.startswith(f"{window} is '44.9'; it must be 45 or more")
    for variable in ("CONSTELLATION_PING_INTERVAL_SECONDS", "CONSTELLATION_PING_TIMEOUT_SECONDS"):
        assert variable in line
    read(**{window: "45"})
    read(**{window: "5", "CONSTELLATION_PING_INTERVAL_SECONDS": "3"} | PING_TIMEOUT_2)
    read(**{window: "5", "CONSTELLATION_RECOVERY": "off"})
    read(**{window: "5", "CONSTELLATION_DELIVERY": "live"})


def test_faults_that_settings_have_together_have_a_line_each() -> None:
    lines = faults(
        WS_PORT="7756",
        CONSTELLATION_RECOVERY_WINDOW_SECONDS="5",
        CONSTELLATION_CHAT_ACCESS="claim",
        CONSTELLATION_JWT_ISSUER="x",
    )

    assert len(lines) == 4


@pytest.mark.parametrize("wrong", ["10.0.0.0/33", "10.0.0.1/8", "proxy.example.com", "10.0.0.1:80"])
def test_a_proxy_that_is_no_network_stops_the_start(wrong: str) -> None:
    (line,) = faults(CONSTELLATION_TRUSTED_PROXIES=f"192.0.2.0/24,{wrong}")
    assert line.startswith("CONSTELLATION_TRUSTED_PROXIES is")


@pytest.mark.parametrize(
    ("text", "port"), [("7757", 7757), ("0", 0), ("off", None), ("OFF", None), ("65535", 65_535)]
)
def test_the_peer_port_is_a_port_or_off(text: str, port: int | None) -> None:
    assert read(CONSTELLATION_PEER_PORT=text).peer_port == port


@pytest.mark.parametrize("text", ["on", "-1", "65536", "7757.5", "none", "off,", "tcp://10.0.0.1"])
def test_a_peer_port_that_is_none_is_named(text: str) -> None:
    (fault,) = faults(CONSTELLATION_PEER_PORT=text)
    assert "CONSTELLATION_PEER_PORT" in fault
    assert f"'{text}'" in fault
    assert "a port number, or `off`" in fault


def test_the_peer_port_is_on_unless_it_is_switched_off() -> None:
    assert read().peer_port == 7757
    assert read(CONSTELLATION_PEER_PORT="").peer_port == 7757


def test_two_doors_may_not_share_the_peer_port() -> None:
    (fault,) = faults(CONSTELLATION_PEER_PORT="7000")
    assert "CONSTELLATION_PEER_PORT" in fault
    assert "WS_PORT" in fault
    assert read(CONSTELLATION_PEER_PORT="0", WS_PORT="0").peer_port == 0


@pytest.mark.parametrize("address", ["10.0.0.7", "fd00::1", "pod-1.pods.svc"])
def test_the_address_for_other_pods_is_the_one_that_is_set(address: str) -> None:
    assert read(CONSTELLATION_PEER_ADDRESS=address).own_address() == address


def test_the_address_for_other_pods_is_where_the_ports_listen_else_towards_redis() -> None:
    assert read(CONSTELLATION_WS_HOST="10.0.0.7").own_address() == "10.0.0.7"
    for host in ("::", "0.0.0.0"):
        settings = read(CONSTELLATION_WS_HOST=host, REDIS_HOST="127.0.0.1")
        assert settings.own_address() == "127.0.0.1"
        assert read(
            CONSTELLATION_WS_HOST=host, REDIS_URL="unix:///run/redis.sock"
        ).own_address() in ("127.0.0.1", "::1")


@pytest.mark.parametrize("address", ["10.0.0.7:7757", "http://pod", "a b", "pod/1", "[fd00::1]"])
def test_an_address_for_other_pods_that_is_none_is_named(address: str) -> None:
    (fault,) = faults(CONSTELLATION_PEER_ADDRESS=address)
    assert "CONSTELLATION_PEER_ADDRESS" in fault
    assert "without a port" in fault
