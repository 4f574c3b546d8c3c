"""The environment, read once: names, defaults, faults, and secrets that stay secret."""

import os
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.settings import settings
from constellation_ws.settings.kinds import kind
from constellation_ws.settings.settings import InvalidSettings, Settings, load
from tests.certificates import Authority

# What an environment can hold. The marker is what must never be seen again.
SECRETS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")).map(
    lambda text: f"hunter2{text}"
)


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
    ("text", "read_as"), [("", "auto"), ("JSON", "json"), ("console", "console"), ("xml", "auto")]
)
def test_the_form_of_logs_is_known_before_the_settings_are(text: str, read_as: str) -> None:
    with environment({"CONSTELLATION_LOG_FORMAT": text, "WS_PORT": "seven"}):
        assert settings.log_format() == read_as


def test_every_variable_says_what_it_is_for_and_what_it_takes() -> None:
    for _, field in settings.fields():
        assert field.description
        assert kind(field)


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


def test_a_request_must_fit_into_a_packet() -> None:
    lines = faults(CONSTELLATION_MAX_REQUEST_BYTES="2000", CONSTELLATION_MAX_PAYLOAD_BYTES="1000")

    assert len(lines) == 1
    assert "CONSTELLATION_MAX_REQUEST_BYTES" in lines[0]
    assert "CONSTELLATION_MAX_PAYLOAD_BYTES" in lines[0]


def test_the_tcp_port_reads_what_it_refuses_as_too_large() -> None:
    values = read()
    assert values.limits.tcp_max_frame_bytes > values.limits.max_event_bytes

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

    assert values.redis.redis_password.get_secret_value() == secret
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
    return f"{values!r}{values}{shown}{values.redis.label()}{values.model_dump()}"


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
def test_two_interfaces_on_one_port_are_named(
    variables: dict[str, str], one: str, other: str
) -> None:
    (line,) = faults(**variables)

    assert line.startswith(one)
    assert other in line.split(" both are ")[0]


def test_free_ports_and_ports_of_other_addresses_do_not_collide() -> None:
    read(WS_PORT="0", TCP_PORT="0", CONSTELLATION_METRICS_PORT="0")
    read(WS_PORT="7756", CONSTELLATION_WS_HOST="10.0.0.1")
    read(WS_PORT="7756", CONSTELLATION_WS_HOST="::1", TCP_HOST="0.0.0.0")


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


def test_no_interface_may_share_the_peer_port() -> None:
    (fault,) = faults(CONSTELLATION_PEER_PORT="7000")
    assert "CONSTELLATION_PEER_PORT" in fault
    assert "WS_PORT" in fault
    assert read(CONSTELLATION_PEER_PORT="0", WS_PORT="0").listening.peer_port == 0


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


@pytest.mark.parametrize(("text", "padded"), [("p w", False), ("pw\n", True), (" pw", True)])
def test_white_space_around_a_secret_is_found(text: str, padded: bool) -> None:
    key = {"CONSTELLATION_AUTH_MODE": "jwt", "CONSTELLATION_JWT_SECRET": f"{'x' * 32}{text}"}
    with environment({"REDIS_PASSWORD": text, **key}):
        found = settings.padded_secrets(load())

    assert ("REDIS_PASSWORD" in found) is padded
    assert ("CONSTELLATION_JWT_SECRET" in found) is text.endswith("\n")


def test_the_line_break_behind_a_url_or_a_key_file_is_no_part_of_it() -> None:
    with environment({"REDIS_URL": "redis://redis:6379\n"}):
        assert settings.padded_secrets(load()) == []


def test_a_setting_with_a_pattern_says_what_it_takes() -> None:
    for name, field in settings.fields():
        if any(getattr(mark, "pattern", None) for mark in field.metadata):
            assert kind(field) != "text", f"{name} takes less than any text"
