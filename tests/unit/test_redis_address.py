"""Addresses of Redis: what is taken, what is refused, and that labels hold no secret."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio.connection import parse_url

from service.redis_address import (
    check_host,
    check_url,
    label,
    read_cluster,
    read_sentinel,
    url_of,
)

# Any character that the environment can hold.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost", "redis://localhost"),
        ("redis://redis-0.redis_net.svc:6379/3", "redis://redis-0.redis_net.svc:6379/3"),
        ("rediss://gateway:hunter2@10.0.0.7:6380/0", "rediss://10.0.0.7:6380/0"),
        ("redis://:p%2F%40%23@[::1]:6379?client_name=ws", "redis://[::1]:6379"),
        ("redis://localhost?password=hunter2", "redis://localhost"),
        ("unix:///run/redis.sock?db=2&password=hunter2", "unix:///run/redis.sock"),
        ("unix://gateway:hunter2@/run/redis.sock", "unix:///run/redis.sock"),
    ],
)
def test_a_url_that_redis_understands_is_taken_and_labelled_without_secrets(
    url: str, shown: str
) -> None:
    assert check_url(url) == url
    assert label(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "localhost:6379",
        "http://localhost:6379",
        "redis://",
        "redis://:hunter2\u2100@localhost",
        "redis:///0",
        "redis://:hunter2@",
        "redis//:hunter2@localhost",
        "redis://local host",
        "redis://localhost:hunter2",
        "redis://localhost:70000",
        "redis://localhost/zero",
        "redis://localhost/0#hunter2",
        "redis://localhost?no_such_option=1",
        "redis://localhost?socket_timeout=soon",
        "unix://",
        # passwords that are not percent-encoded
        "redis://:hun/ter2@localhost",
        "redis://:12/ter2@localhost",
        "redis://:hun?ter2@localhost",
        "redis://:hun#ter2@localhost",
        "redis://:hun@ter2@localhost",
        "redis://:hun@t/5?x@localhost",
    ],
)
def test_any_other_url_is_refused_without_a_word_of_it(url: str) -> None:
    with pytest.raises(ValueError, match=r"^(not|no) [a-zA-Z -]+$") as refusal:
        check_url(url)

    assert "ter2" not in str(refusal.value)
    assert refusal.value.__cause__ is None


@pytest.mark.parametrize("host", ["localhost", "redis", "a.b-c.example.", "10.0.0.1", "::1", "a_b"])
def test_names_and_addresses_are_hosts(host: str) -> None:
    assert check_host(host) == host


@pytest.mark.parametrize("host", ["", "redis:6379", "redis://redis", "a b", "-a", "u@redis", "é"])
def test_nothing_else_is_a_host(host: str) -> None:
    with pytest.raises(ValueError, match="not a host"):
        check_host(host)


@given(
    host=st.sampled_from(["localhost", "10.1.2.3", "::1"]),
    port=st.integers(1, 65535),
    password=TEXTS,
    database=st.integers(0, 99),
)
def test_redis_reads_back_what_the_four_settings_say(
    host: str, port: int, password: str, database: int
) -> None:
    url = url_of(host, port, password, database)

    read = parse_url(check_url(url))

    assert (read["host"], read["port"], read["db"]) == (host, port, database)
    assert read.get("password", "") == password


@given(password=TEXTS.map(lambda text: f"hunter2{text}"))
def test_a_label_never_holds_the_password(password: str) -> None:
    assert "hunter2" not in label(url_of("redis", 6379, password, 0))


@given(text=TEXTS.map(lambda text: f"redis://:hunter2{text}@redis"))
def test_an_accepted_url_is_labelled_without_its_password_and_a_refusal_holds_none(
    text: str,
) -> None:
    try:
        shown = label(check_url(text))
    except ValueError as refusal:
        shown = f"{refusal} {refusal.__cause__}"

    assert "hunter2" not in shown


def test_a_sentinel_url_names_sentinels_primary_and_database() -> None:
    url = "rediss+sentinel://me:p%40ss@a:1,b,[::1]:3/2/main?sentinel_password=s"
    assert check_url(url) == url
    found = read_sentinel(url)
    assert found is not None
    assert found.nodes == (("a", 1), ("b", 26379), ("::1", 3))
    assert (found.service, found.password) == ("main", "s")
    assert found.primary == {"db": 2, "ssl": True, "username": "me", "password": "p@ss"}
    assert label(url) == "rediss+sentinel://a:1,b,[::1]:3/2/main"


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://a:1/main",
        "redis+sentinel://a:1/x/main",
        "redis+sentinel://a:x/0/main",
        "redis+sentinel://a:70000/0/main",
        "redis+sentinel://a:1,/0/main",
        "redis+sentinel:///0/main",
        "unix+sentinel://a:1/0/main",
        "redis+sentinel://a:1/0/main?password=x",
        "redis+sentinel://a:1/0/main?sentinel_password",
    ],
)
def test_a_sentinel_url_that_is_not_whole_is_refused(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its text never holds the address
        check_url(url)


def test_other_urls_name_no_sentinel() -> None:
    assert read_sentinel("redis://host:1/0") is None


def test_a_cluster_url_names_some_nodes() -> None:
    url = "rediss+cluster://me:p%40ss@a:1,b,[::1]:3"
    assert check_url(url) == url
    found = read_cluster(url)
    assert found is not None
    assert found.nodes == (("a", 1), ("b", 6379), ("::1", 3))
    assert found.options == {"ssl": True, "username": "me", "password": "p@ss"}
    assert label(url) == "rediss+cluster://a:1,b,[::1]:3"
    assert read_cluster("redis://host:1/0") is None


@pytest.mark.parametrize(
    "url",
    [
        "redis+cluster://",
        "redis+cluster://a:x",
        "redis+cluster://a:1,",
        "redis+cluster://a:1/1",  # a Cluster has one database
        "redis+cluster://a:1?password=x",
        "unix+cluster://a:1",
    ],
)
def test_a_cluster_url_that_is_not_whole_is_refused(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its text never holds the address
        check_url(url)
