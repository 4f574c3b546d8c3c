"""Settings of identity that contradict one another: a line each, which names what to do."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization

from constellation_ws.settings.settings import effective
from tests.tokens import SECRET, key_pair
from tests.unit.settings.test_settings import faults, read

JWT = {"CONSTELLATION_AUTH_MODE": "jwt"}
RSA, EC = key_pair("RS256").pem, key_pair("ES384").pem
URL = "https://issuer.example.com/.well-known/jwks.json"


def fault(**variables: str) -> str:
    (line,) = faults(**variables)
    return line


def algorithms(**variables: str) -> tuple[str, ...]:
    return read(**JWT, **variables).identity.allowed_algorithms()


def test_tokens_are_not_asked_for_unless_somebody_says_so() -> None:
    assert read().identity.auth_mode == "trusted"


def test_a_key_that_would_not_be_used_stops_the_start() -> None:
    lines = faults(CONSTELLATION_JWT_SECRET=SECRET, CONSTELLATION_JWT_ISSUER="api")
    assert lines == [
        f"CONSTELLATION_JWT_{name} has no effect: set CONSTELLATION_AUTH_MODE to jwt, or remove it"
        for name in ("SECRET", "ISSUER")
    ]


def test_exactly_one_key_is_needed() -> None:
    assert "set one of CONSTELLATION_JWT_SECRET, CONSTELLATION_JWT_PUBLIC_KEY" in fault(**JWT)
    both = fault(**JWT, CONSTELLATION_JWT_SECRET=SECRET, CONSTELLATION_JWT_JWKS_URL=URL)
    assert both.startswith("CONSTELLATION_JWT_SECRET and CONSTELLATION_JWT_JWKS_URL are set")


def test_every_fault_has_its_line() -> None:
    lines = faults(**JWT, CONSTELLATION_JWT_COOKIE="token")
    assert [line.split()[0] for line in lines] == [
        "CONSTELLATION_AUTH_MODE",
        "CONSTELLATION_JWT_COOKIE",
    ]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"CONSTELLATION_JWT_SECRET": SECRET}, ("HS256",)),
        ({"CONSTELLATION_JWT_PUBLIC_KEY": RSA}, ("RS256",)),
        ({"CONSTELLATION_JWT_PUBLIC_KEY": EC}, ("ES384",)),
        ({"CONSTELLATION_JWT_PUBLIC_KEY": key_pair("EdDSA").pem}, ("EdDSA",)),
        (
            {"CONSTELLATION_JWT_JWKS_URL": URL},
            ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA"),
        ),
        (
            {"CONSTELLATION_JWT_PUBLIC_KEY": RSA, "CONSTELLATION_JWT_ALGORITHMS": "RS512, RS384"},
            ("RS512", "RS384"),
        ),
    ],
)
def test_the_kind_of_the_key_says_which_algorithms_are_taken(
    variables: dict[str, str], expected: tuple[str, ...]
) -> None:
    assert algorithms(**variables) == expected


@pytest.mark.parametrize(
    ("key", "names", "wrong"),
    [
        ({"CONSTELLATION_JWT_SECRET": SECRET}, "HS256,RS256", "RS256"),
        ({"CONSTELLATION_JWT_PUBLIC_KEY": RSA}, "HS256,RS256", "HS256"),
        ({"CONSTELLATION_JWT_PUBLIC_KEY": RSA}, "ES256", "ES256"),
        ({"CONSTELLATION_JWT_PUBLIC_KEY": EC}, "ES256", "ES256"),
        ({"CONSTELLATION_JWT_JWKS_URL": URL}, "RS256,HS512", "HS512"),
    ],
)
def test_an_algorithm_of_another_kind_of_key_stops_the_start(
    key: dict[str, str], names: str, wrong: str
) -> None:
    line = fault(**JWT, **key, CONSTELLATION_JWT_ALGORITHMS=names)
    assert line.startswith(f"CONSTELLATION_JWT_ALGORITHMS has {wrong}, which")


@pytest.mark.parametrize("names", ["none", "HS256,None", "hs256", "PS256", "RS256,"])
def test_an_algorithm_that_is_not_known_stops_the_start(names: str) -> None:
    line = fault(**JWT, CONSTELLATION_JWT_SECRET=SECRET, CONSTELLATION_JWT_ALGORITHMS=names)
    assert line.startswith("CONSTELLATION_JWT_ALGORITHMS is")
    assert "it must be a list of HS256" in line


@pytest.mark.parametrize(
    ("names", "least"), [("", 32), ("HS256", 32), ("HS384", 48), ("HS256,HS512", 64)]
)
def test_a_secret_has_as_many_bytes_as_the_hash(names: str, least: int) -> None:
    chosen = {"CONSTELLATION_JWT_ALGORITHMS": names}
    read(**JWT, **chosen, CONSTELLATION_JWT_SECRET="ж" * (least // 2))
    line = fault(**JWT, **chosen, CONSTELLATION_JWT_SECRET="x" * (least - 1))
    assert line.startswith(f"CONSTELLATION_JWT_SECRET has {least - 1} bytes;")
    assert f"requires {least} or more" in line


def test_a_public_key_in_place_of_the_secret_is_found_out() -> None:
    line = fault(**JWT, CONSTELLATION_JWT_SECRET=RSA)
    assert "set a public key in CONSTELLATION_JWT_PUBLIC_KEY" in line


def test_a_private_key_in_place_of_the_public_one_is_refused_and_not_shown() -> None:
    private = key_pair("ES256").private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    line = fault(**JWT, CONSTELLATION_JWT_PUBLIC_KEY=private.decode())
    assert line == "CONSTELLATION_JWT_PUBLIC_KEY cannot be used: it is not a PEM public key"


@pytest.mark.parametrize(
    "url",
    [
        "issuer.example.com",
        "ftp://a/b",
        "file:///etc/passwd",
        "https://u:hunter2@a/b",
        "http://a b",
    ],
)
def test_where_keys_are_must_be_a_plain_url(url: str) -> None:
    line = fault(**JWT, CONSTELLATION_JWT_JWKS_URL=url)
    assert line.startswith("CONSTELLATION_JWT_JWKS_URL is")
    assert "hunter2" not in line


def test_a_cookie_needs_pages_that_are_named() -> None:
    cookie = {"CONSTELLATION_JWT_SECRET": SECRET, "CONSTELLATION_JWT_COOKIE": "__Host-token"}
    for origins in ("", "*", "https://a.example.com,*", "https://a.example.com,NULL"):
        line = fault(**JWT, **cookie, CONSTELLATION_CORS_ORIGINS=origins)
        assert line.startswith("CONSTELLATION_JWT_COOKIE requires that CONSTELLATION_CORS_ORIGINS")
    read(**JWT, **cookie, CONSTELLATION_CORS_ORIGINS="https://*.example.com")


@pytest.mark.parametrize("name", ["a b", "a=b", "a;b", "ж"])
def test_a_cookie_s_name_is_one(name: str) -> None:
    assert fault(**JWT, CONSTELLATION_JWT_COOKIE=name).startswith("CONSTELLATION_JWT_COOKIE is")


def test_no_view_shows_a_key() -> None:
    for variables in (
        {"CONSTELLATION_JWT_SECRET": SECRET},
        {"CONSTELLATION_JWT_PUBLIC_KEY": RSA},
    ):
        values = read(**JWT, **variables)
        shown = f"{values!r}{[one.value for one in effective(values)]}"
        assert SECRET not in shown
        assert "PUBLIC KEY" not in shown
