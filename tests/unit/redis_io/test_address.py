"""Addresses of Redis: what is taken, what is refused, and that labels hold no secret."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio.connection import parse_url

from constellation_ws.redis_io.address import (
    ClusterAddress,
    InvalidAddress,
    PlainAddress,
    SentinelAddress,
    SocketAddress,
    check_host,
    check_url,
    first_node,
    label,
    read,
    url_of,
)
from constellation_ws.redis_io.credentials import (
    has_credentials,
    has_sentinel_password,
    with_credentials,
    with_sentinel_password,
)
from tests.certificates import Authority

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
        "redis://localhost?decode_responses=true",
        "unix:///run/redis.sock?encoding=latin1",
        "redis://localhost?connection_class=x",
        "redis://localhost/0?db=3",
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
def test_any_other_url_is_refused_with_a_reason_and_without_a_word_of_it(url: str) -> None:
    with pytest.raises(InvalidAddress, match=r"^(it|its|a|an|the) [a-zA-Z0-9 ,:?=-]+$") as refusal:
        check_url(url)

    assert "ter2" not in str(refusal.value)
    assert refusal.value.__cause__ is None


@pytest.mark.parametrize("host", ["localhost", "redis", "a.b-c.example.", "10.0.0.1", "::1", "a_b"])
def test_names_and_addresses_are_hosts(host: str) -> None:
    assert check_host(host) == host


@pytest.mark.parametrize("host", ["", "redis:6379", "redis://redis", "a b", "-a", "u@redis", "é"])
def test_nothing_else_is_a_host(host: str) -> None:
    with pytest.raises(InvalidAddress, match="not a host name"):
        check_host(host)


@given(
    host=st.sampled_from(["localhost", "10.1.2.3", "::1"]),
    port=st.integers(1, 65535),
    user=TEXTS,
    password=TEXTS,
    database=st.integers(0, 99),
)
def test_redis_reads_back_what_the_settings_say(
    host: str, port: int, user: str, password: str, database: int
) -> None:
    url = with_credentials(url_of(host, port, database), user, password)

    read = parse_url(check_url(url))

    assert (read["host"], read["port"], read["db"]) == (host, port, database)
    assert (read.get("username") or "", read.get("password") or "") == (user, password)


FORMS = [
    "rediss://redis/1?ssl_check_hostname=false",
    "redis+cluster://a:1,b:2",
    "rediss+sentinel://a,[::1]:26380/0/chat?ssl_check_hostname=false",
    "unix:///run/redis.sock?db=2",
]


@pytest.mark.parametrize("form", FORMS)
def test_credentials_fit_into_every_form_of_url(form: str) -> None:
    url = check_url(with_credentials(form, "gate:way", "p@ss/?#%"))

    assert has_credentials(url)
    assert not has_credentials(form)
    found = read(url).options
    assert (found["username"], found["password"]) == ("gate:way", "p@ss/?#%")
    assert label(url) == label(form)


@pytest.mark.parametrize("form", ["redis+sentinel://a/0/b", FORMS[2]])
def test_a_password_of_the_sentinels_fits_behind_and_before_options(form: str) -> None:
    url = check_url(with_sentinel_password(form, "s@nt/&="))

    assert has_sentinel_password(url)
    assert not any(map(has_sentinel_password, (form, FORMS[0])))
    found = read(url)
    assert isinstance(found, SentinelAddress)
    assert found.password == "s@nt/&="


@given(password=TEXTS.map(lambda text: f"hunter2{text}"))
def test_a_label_never_holds_the_password(password: str) -> None:
    assert "hunter2" not in label(with_credentials("redis://redis", "", password))


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
    url = "redis+sentinel://me:p%40ss@a:1,b,[::1]:3/2/main?sentinel_password=s%26t"
    assert check_url(url) == url
    found = read(url)
    assert isinstance(found, SentinelAddress)
    assert found.nodes == (("a", 1), ("b", 26379), ("::1", 3))
    assert (found.service, found.password, found.tls) == ("main", "s&t", None)
    assert found.options == {"db": 2, "username": "me", "password": "p@ss"}
    assert label(url) == "redis+sentinel://a:1,b,[::1]:3/2/main"


def test_a_cluster_url_names_some_nodes() -> None:
    url = "redis+cluster://me:p%40ss@a:1,b,[::1]:3"
    assert check_url(url) == url
    found = read(url)
    assert isinstance(found, ClusterAddress)
    assert found.nodes == (("a", 1), ("b", 6379), ("::1", 3))
    assert (found.options, found.tls) == ({"username": "me", "password": "p@ss"}, None)
    assert label(url) == "redis+cluster://a:1,b,[::1]:3"


def test_other_urls_are_read_as_redis_reads_them() -> None:
    plain = read("redis://:s%40t@[::1]:1/2?client_name=ws")
    options = {"password": "s@t", "db": 2, "client_name": "ws"}
    assert plain == PlainAddress(("::1", 1), options, None)
    assert read("redis://host") == PlainAddress(("host", 6379), {}, None)
    socket = read("unix:///run/redis.sock?db=2")
    assert isinstance(socket, SocketAddress)
    assert (socket.options["path"], socket.options["db"]) == ("/run/redis.sock", 2)


@pytest.mark.parametrize(
    "form", ["rediss://a:1", "rediss+cluster://a:1,b:2", "rediss+sentinel://a:1/0/main"]
)
def test_each_form_has_the_options_of_tls(form: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("client")
    options = {
        "ssl_ca_certs": str(authority.cert_file),
        "ssl_certfile": str(certificate),
        "ssl_keyfile": str(key),
        "ssl_cert_reqs": "optional",
        "ssl_check_hostname": False,
    }
    query = "&".join(f"{name}={value}" for name, value in options.items())
    for url, tls in ((form, {}), (f"{form}?{query}", options)):
        assert check_url(url) == url
        found = read(url)
        assert not isinstance(found, SocketAddress)
        assert found.tls == tls
        assert "ssl" not in label(url)


@pytest.mark.parametrize("form", ["redis://a", "redis+cluster://a", "redis+sentinel://a/0/m"])
@pytest.mark.parametrize(
    ("query", "reason"), [("?ssl_check_hostname=no", "require"), ("?no_such=1", "option")]
)
def test_an_option_that_has_no_effect_is_refused(form: str, query: str, reason: str) -> None:
    with pytest.raises(InvalidAddress, match=reason):
        check_url(form + query)


@pytest.mark.parametrize("form", ["rediss://a", "rediss+cluster://a", "rediss+sentinel://a/0/m"])
def test_a_value_that_tls_does_not_take_is_refused(form: str) -> None:
    with pytest.raises(InvalidAddress, match="not valid"):
        check_url(f"{form}?ssl_cert_reqs=perhaps")


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
        "redis+cluster://",
        "redis+cluster://a:x",
        "redis+cluster://a:1,",
        "redis+cluster://a:1/1",  # a Cluster has one database
        "redis+cluster://a:1?password=x",
        "unix+cluster://a:1",
    ],
)
def test_a_url_of_several_nodes_that_is_not_whole_is_refused(url: str) -> None:
    with pytest.raises(InvalidAddress):
        check_url(url)


@pytest.mark.parametrize(
    ("url", "node"),
    [
        ("redis://redis.svc:6380/3", ("redis.svc", 6380)),
        ("rediss://user:password@10.0.0.7", ("10.0.0.7", 6379)),
        ("redis://[fd00::1]:6379", ("fd00::1", 6379)),
        ("redis+sentinel://one:26379,two:26380/0/primary", ("one", 26379)),
        ("redis+cluster://one:7000,two:7001", ("one", 7000)),
        ("unix:///run/redis.sock", ("localhost", 6379)),
    ],
)
def test_some_node_can_be_named_of_every_kind_of_url(url: str, node: tuple[str, int]) -> None:
    assert first_node(url) == node
