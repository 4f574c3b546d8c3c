"""Faults and typos of environment variables, in words that show no secret."""

import pytest
from pydantic import Field, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from constellation_ws.settings.variables import NOT_SHOWN, explain, find_unknown, show

PREFIX = "CONSTELLATION_"
KNOWN = ("WS_PORT", "REDIS_URL", "CONSTELLATION_LOG_LEVEL", "CONSTELLATION_DRAIN_WINDOW_SECONDS")


FIELDS = {
    "PORT": FieldInfo.from_annotated_attribute(int, Field(1, ge=0)),
    "SECRET": FieldInfo.from_annotated_attribute(SecretStr, Field(SecretStr(""))),
}


def _fault(name: str, value: str) -> ErrorDetails:
    return ErrorDetails(type="int_parsing", loc=(name,), msg="pydantic's words", input=value)


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        (_fault("PORT", "seven"), "PORT is 'seven'; it must be a whole number from 0"),
        (_fault("SECRET", "hunter2"), f"SECRET is {NOT_SHOWN}; it must be text (secret)"),
        (
            _fault("PORT", "redis://:hunter2@redis:6379"),
            "PORT is 'redis://***@redis:6379'; it must be a whole number from 0",
        ),
        (
            ErrorDetails(type="value_error", loc=(), msg="Value error, A is below B", input={}),
            "A is below B",
        ),
    ],
)
def test_a_fault_is_one_line_that_names_the_variable_and_what_it_takes(
    fault: ErrorDetails, line: str
) -> None:
    assert explain(fault, FIELDS) == line


def test_what_kubernetes_sets_for_a_service_is_explained() -> None:
    line = explain(_fault("PORT", "tcp://10.96.0.1:6379"), FIELDS)

    assert "'tcp://10.96.0.1:6379'" in line
    assert "enableServiceLinks: false" in line


def test_a_long_value_is_cut_and_stays_on_its_line() -> None:
    line = explain(_fault("PORT", "7\n" * 5_000), FIELDS)

    assert "\n" not in line
    assert len(line) < 250


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (7000, "7000"),
        (25.0, "25"),
        (0.5, "0.5"),
        ("0.0.0.0", "0.0.0.0"),
        (None, ""),
        (("https://a.example", "*"), "https://a.example,*"),
        (SecretStr("hunter2"), NOT_SHOWN),
        (SecretStr(""), ""),
    ],
)
def test_a_value_is_shown_as_the_environment_holds_it_unless_it_is_secret(
    value: object, shown: str
) -> None:
    assert show(value) == shown


@pytest.mark.parametrize(
    ("name", "closest"),
    [
        ("CONSTELLATION_DRAIN_WINDOW_SECOND", "CONSTELLATION_DRAIN_WINDOW_SECONDS"),
        ("CONSTELLATION_DRAIN_WINDOW", "CONSTELLATION_DRAIN_WINDOW_SECONDS"),
        ("CONSTELLATION_LOGLEVEL", "CONSTELLATION_LOG_LEVEL"),
        ("CONSTELLATION_WS_PORT", "WS_PORT"),
        ("CONSTELLATION_COLOUR", None),
    ],
)
def test_an_unknown_name_brings_the_closest_known_one(name: str, closest: str | None) -> None:
    (unknown,) = find_unknown({name: "hunter2", "PATH": "/bin"}, PREFIX, KNOWN)

    assert (unknown.name, unknown.closest) == (name, closest)
    assert name in str(unknown)
    assert (closest or "no effect") in str(unknown)
    assert "hunter2" not in str(unknown)


def test_known_names_and_the_links_of_a_kubernetes_service_are_no_typos() -> None:
    environment = {
        "CONSTELLATION_LOG_LEVEL": "info",
        "CONSTELLATION_WS_SERVICE_HOST": "10.96.0.1",
        "CONSTELLATION_WS_SERVICE_PORT": "7000",
        "CONSTELLATION_WS_SERVICE_PORT_TCP_MICROSERVICE": "7756",
        "CONSTELLATION_WS_PORT": "tcp://10.96.0.1:7000",
        "CONSTELLATION_WS_PORT_7000_TCP": "tcp://10.96.0.1:7000",
        "CONSTELLATION_WS_PORT_7000_TCP_PROTO": "tcp",
        "CONSTELLATION_WS_PORT_7000_TCP_PORT": "7000",
        "CONSTELLATION_WS_PORT_7000_TCP_ADDR": "10.96.0.1",
    }

    assert list(find_unknown(environment, PREFIX, KNOWN)) == []


@pytest.mark.parametrize(
    ("name", "closest"),
    [
        ("CONSTELATION_LOG_LEVEL", "CONSTELLATION_LOG_LEVEL"),
        ("CONSTELLATIONLOG_LEVEL", "CONSTELLATION_LOG_LEVEL"),
        ("CONSTELLATIONS_DRAIN_WINDOW_SECONDS", "CONSTELLATION_DRAIN_WINDOW_SECONDS"),
        ("CONSTALLATION_DRAIN_WINDOW_SECOND", "CONSTELLATION_DRAIN_WINDOW_SECONDS"),
        ("CONSTELATION_WS_PORT", "WS_PORT"),
    ],
)
def test_a_typo_in_the_prefix_is_found(name: str, closest: str) -> None:
    (unknown,) = find_unknown({name: "hunter2"}, PREFIX, KNOWN)
    assert (unknown.name, unknown.closest) == (name, closest)


def test_variables_of_other_programs_are_none_of_ours() -> None:
    environment = dict.fromkeys(
        [
            "PATH",
            "LOG_LEVEL",
            "WS_PORTS",
            "CONSTELLATION",
            "CONSTELATION",
            "CONSTELLATIONS_HOME",
            "CONSTELATION_API_URL",
            "CONSOLATION_LOG_LEVEL",
            "CANCELLATION_LOG_LEVEL",
            "INSTALLATION_DRAIN_WINDOW_SECONDS",
            "constellation_log_level",
        ],
        "x",
    )
    linked = {
        "CONSTELATION_WS_SERVICE_PORT": "7000",
        "CONSTELATION_WS_PORT": "tcp://10.96.0.1:7000",
    }
    assert list(find_unknown(environment | linked, PREFIX, KNOWN)) == []
