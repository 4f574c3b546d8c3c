"""Tokens at the door: who is let in by one, for how long, and every known way of making one up."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.issuer import Issuer, running_issuer
from tests.journey.conftest import Pods, StartGateway
from tests.journey.publishing import Publisher
from tests.journey.raw_clients import raw
from tests.js_clients import POLLING, WEBSOCKET, JsClient, JsClients
from tests.processes import Gateway, Valkey, ended_gateway
from tests.tokens import SECRET, claims_of, key_pair, signed, token_of, unsigned
from tests.waiting import PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

TRANSPORTS = pytest.mark.parametrize(
    "transports", [WEBSOCKET, POLLING], ids=["websocket", "polling"]
)
OURS: dict[str, Any] = {"iss": "api", "aud": "chat"}
PAGE = "https://app.example.com"
STRICT = {
    "CONSTELLATION_AUTH_MODE": "jwt",
    "CONSTELLATION_JWT_SECRET": SECRET,
    "CONSTELLATION_JWT_ISSUER": OURS["iss"],
    "CONSTELLATION_JWT_AUDIENCE": OURS["aud"],
    "CONSTELLATION_JWT_USER_CLAIM": "id",
    "CONSTELLATION_JWT_LEEWAY_SECONDS": 0,
    "CONSTELLATION_JWT_COOKIE": "__Host-token",
    "CONSTELLATION_CORS_ORIGINS": PAGE,
    "CONSTELLATION_LOG_LEVEL": "debug",  # no token may be in any line
}
QUICK: dict[str, Any] = {"reconnectionDelay": 50, "reconnectionDelayMax": 100}
SOON_SECONDS = 4.0
"""The life of a token that is to end within a test, but not before its client has connected."""


def good(user: object, lifetime_seconds: float = 3_600, **claims: object) -> str:
    """A token for the strict pod: as today's API signs it, `id` and all."""
    return token_of(None, lifetime_seconds, **OURS, id=user, **claims)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def strict(valkey: Valkey, gateway: StartGateway) -> AsyncIterator[Gateway]:
    """A pod that asks for everything that can be asked for."""
    async with gateway(valkey.url, **STRICT) as pod:
        yield pod
        assert await pod.terminate() == 0
        assert pod.stray_lines() == []


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def issuer() -> AsyncIterator[Issuer]:
    """An issuer with one key, whose public half is the one that everybody knows."""
    async with running_issuer() as issuer:
        issuer.rotate("k1")
        yield issuer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def public(valkey: Valkey, gateway: StartGateway, issuer: Issuer) -> AsyncIterator[Gateway]:
    """A pod that fetches its keys."""
    settings = {"CONSTELLATION_AUTH_MODE": "jwt", "CONSTELLATION_JWT_JWKS_URL": issuer.url}
    async with gateway(valkey.url, **settings) as pod:
        yield pod
        assert await pod.terminate() == 0
        assert pod.stray_lines() == []


FORGERIES: list[tuple[str, str, Callable[[], object]]] = [
    ("no token", "unauthorized", lambda: None),
    ("another secret", "token_invalid", lambda: signed(claims(), SECRET[::-1])),
    ("expired", "token_expired", lambda: good("eve", -1)),
    ("none", "token_invalid", lambda: unsigned(claims())),
    ("None", "token_invalid", lambda: unsigned(claims(), "None")),
    ("HS256 without a signature", "token_invalid", lambda: unsigned(claims(), "HS256")),
    ("another's payload", "token_invalid", lambda: respelled(good("eve"), claims(id="bob"))),
    ("wrong audience", "token_invalid", lambda: signed(claims(aud="shop"))),
    ("no audience", "token_invalid", lambda: signed(claims_of(None, id="eve", iss="api"))),
    ("wrong issuer", "token_invalid", lambda: signed(claims(iss="mallory"))),
    ("no expiry", "token_invalid", lambda: signed({**OURS, "id": "eve"})),
    ("not yet", "token_invalid", lambda: good("eve", nbf=time.time() + 60)),
    ("nobody's", "token_invalid", lambda: signed(claims_of("eve", **OURS))),
    ("an odd user", "invalid_user", lambda: good({"id": "eve"})),
    ("RS256", "token_invalid", lambda: key_pair("RS256", "eve").sign(claims())),
    ("a number", "token_invalid", lambda: 42),
    ("an object", "token_invalid", lambda: {"toString": "eve"}),
    ("a long one", "token_invalid", lambda: good("eve", padding="x" * 9_000)),
    ("noise", "token_invalid", lambda: "Привет \0 ../../etc/passwd"),
]


def claims(**changes: object) -> dict[str, Any]:
    return claims_of(None, **{**OURS, "id": "eve", **changes})


def respelled(token: str, payload: dict[str, Any]) -> str:
    """Somebody's token with other claims under its signature."""
    header, _, signature = token.split(".")
    text = base64.urlsafe_b64encode(json.dumps(payload).encode()).rstrip(b"=").decode()
    return f"{header}.{text}.{signature}"


@TRANSPORTS
@pytest.mark.parametrize(
    ("code", "forge"), [pytest.param(*one[1:], id=one[0]) for one in FORGERIES]
)
async def test_who_brings_no_good_token_is_told_so_and_counted(
    code: str,
    forge: Callable[[], object],
    transports: tuple[str, ...],
    strict: Gateway,
    js: JsClients,
) -> None:
    before = await strict.metric("constellation_connects_total", code=code)
    token = forge()
    client = js.open(strict.chats_url, auth={"token": token}, transports=transports)

    refusal = await client.refused()

    assert refusal.code == code
    assert " " in refusal.message
    assert str(token) not in refusal.message
    assert not client.connected
    assert await strict.metric("constellation_connects_total", code=code) == before + 1


@TRANSPORTS
async def test_the_token_s_user_gets_its_events_and_a_number_is_its_decimal_text(
    transports: tuple[str, ...], strict: Gateway, js: JsClients, publish: Publisher, mine: str
) -> None:
    number = 8_000_000 + int(mine.rpartition("-")[2])
    bob = await connected(js, strict, str(number), {"token": good(number)}, transports)

    await publish("chat:new", {"userId": number, "chatId": "c"})

    (heard,) = await publish.heard_by(bob)
    assert [event.payload for event in heard] == [{"chatId": "c"}]


async def test_a_user_id_beside_the_token_must_be_the_token_s(
    strict: Gateway, js: JsClients, mine: str
) -> None:
    token = good(f"bob{mine}")
    other = js.open(strict.chats_url, auth={"token": token, "userId": f"alice{mine}"})
    assert (await other.refused()).code == "unauthorized"
    await connected(js, strict, f"bob{mine}", {"token": token, "userId": f"bob{mine}"})


@TRANSPORTS
async def test_a_header_or_a_cookie_may_carry_the_token_and_auth_counts_before_both(
    transports: tuple[str, ...], strict: Gateway, js: JsClients, mine: str
) -> None:
    header = {"Authorization": f"Bearer {good(f'bob{mine}')}"}
    cookie = {"Cookie": f"theme=dark; __Host-token={good(f'bob{mine}')}", "Origin": PAGE}
    for headers in (header, cookie):
        await connected(js, strict, f"bob{mine}", {}, transports, extraHeaders=headers)
    wrong = js.open(
        strict.chats_url, auth={"token": "x"}, extraHeaders=header, transports=transports
    )
    assert (await wrong.refused()).code == "token_invalid"


async def test_a_page_of_another_origin_cannot_use_a_visitor_s_cookie(
    strict: Gateway, js: JsClients, mine: str
) -> None:
    before = await strict.metric("constellation_connects_total", code="forbidden_origin")
    stolen = {"Cookie": f"__Host-token={good(f'bob{mine}')}", "Origin": "https://evil.example.com"}
    client = js.open(strict.chats_url, extraHeaders=stolen, reconnection=False)
    await client.refused()
    assert not client.connected
    assert await strict.metric("constellation_connects_total", code="forbidden_origin") > before


@TRANSPORTS
async def test_the_end_of_a_token_ends_the_connection_and_a_fresh_one_resumes_it(
    transports: tuple[str, ...], strict: Gateway, js: JsClients, publish: Publisher, mine: str
) -> None:
    user = f"bob{mine}"
    bob = await connected(
        js, strict, user, {"token": good(user, SOON_SECONDS)}, transports, **QUICK
    )
    await bob.join(f"c{mine}")
    bob.present(token=good(user))

    assert await bob.lost() == "transport close"

    await bob.until(lambda: bob.connects == 2, "a second connection")
    assert bob.recovered == [False, True]
    assert bob.refusals == []
    await publish("chat:typing", {"chatId": f"c{mine}", "userId": "x", "participants": []})
    (heard,) = await publish.heard_by(bob)
    assert len(heard) == 1
    assert await strict.metric("constellation_disconnects_total", reason="token_expired") >= 1


async def test_an_expired_token_resumes_nothing(strict: Gateway, js: JsClients, mine: str) -> None:
    user = f"bob{mine}"
    bob = await connected(js, strict, user, {"token": good(user)}, **QUICK)
    bob.present(token=good(user, -1))

    bob.sever()

    assert (await bob.refused()).code == "token_expired"
    assert bob.recovered == [False]


async def test_another_s_token_resumes_nobody_s_session(strict: Gateway, mine: str) -> None:
    bob, eve = good(f"bob{mine}"), good(f"eve{mine}")
    async with raw(strict, None, token=bob, recovery=True) as before:
        await before.join(f"c{mine}")
    pid = before.answer["pid"]

    async with raw(strict, None, token=eve, pid=pid) as thief:
        assert thief.answer["pid"] != pid
        assert thief.missed == []
    async with raw(strict, None, token=bob, pid=pid) as owner:
        assert owner.answer == before.answer


async def test_where_clients_are_believed_there_is_nothing_to_refresh(
    pods: Pods, js: JsClients, mine: str
) -> None:
    bob = await js.connect(pods.a.chats_url, user=f"bob{mine}")
    answer = await bob.ask("refresh-token", {"token": good(f"bob{mine}")})
    assert answer["error"]["code"] == "unknown_event"


async def test_a_token_that_is_refreshed_in_time_keeps_the_connection(
    strict: Gateway, js: JsClients, mine: str
) -> None:
    user = f"bob{mine}"
    ends_at = time.time() + 3_600
    kept = await connected(js, strict, user, {"token": good(user, SOON_SECONDS)}, **QUICK)
    ended = await connected(
        js, strict, user, {"token": good(user, SOON_SECONDS + 0.5)}, reconnection=False
    )

    answer = await kept.ask("refresh-token", {"token": good(user, exp=ends_at)})

    assert answer == {"success": True, "data": {"expiresAt": ends_at}}
    await ended.lost()
    await kept.join(f"c{mine}")
    assert kept.disconnects == []


BAD_REFRESHES: list[tuple[str, Callable[[str], list[object]]]] = [
    ("unauthorized", lambda mine: [{"token": good(f"alice{mine}")}]),
    ("unauthorized", lambda mine: []),
    ("unauthorized", lambda mine: [{}]),
    ("token_expired", lambda mine: [{"token": good(f"bob{mine}", -1)}]),
    ("token_invalid", lambda mine: [{"token": signed(claims(id=f"bob{mine}"), SECRET[::-1])}]),
    ("token_invalid", lambda mine: [{"token": ["x"]}]),
]


@pytest.mark.parametrize(("code", "arguments"), BAD_REFRESHES)
async def test_a_refresh_with_another_token_is_refused_and_changes_nothing(
    code: str, arguments: Callable[[str], list[object]], strict: Gateway, js: JsClients, mine: str
) -> None:
    bob = await connected(js, strict, f"bob{mine}", {"token": good(f"bob{mine}")})

    answer = await bob.ask("refresh-token", *arguments(mine))

    assert answer["success"] is False
    assert answer["error"].keys() == {"code", "message"}
    assert answer["error"]["code"] == code
    await bob.join(f"c{mine}")


async def test_a_public_key_is_no_secret(public: Gateway, issuer: Issuer, js: JsClients) -> None:
    """The old confusion: HS256, signed with what anybody may read."""
    head = b".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in ({"alg": "HS256", "kid": "k1"}, claims_of("eve"))
    )
    pem = issuer.keys["k1"].pem.encode()
    for secret in (pem, pem.strip(), json.dumps(issuer.document()).encode()):
        signature = base64.urlsafe_b64encode(hmac.digest(secret, head, hashlib.sha256))
        token = (head + b"." + signature.rstrip(b"=")).decode()
        client = js.open(public.chats_url, auth={"token": token})
        assert (await client.refused()).code == "token_invalid"


async def test_a_rotated_key_is_fetched_once_and_the_old_one_goes_on(
    public: Gateway, issuer: Issuer, js: JsClients, mine: str
) -> None:
    old = issuer.token_of(f"bob{mine}")
    await connected(js, public, f"bob{mine}", {"token": old})
    issuer.rotate("k2", "ES256")
    before = issuer.requests
    new = issuer.token_of(f"bob{mine}")

    clients = [js.open(public.chats_url, auth={"token": new}) for _ in range(5)]

    for client in clients:
        await client.until(client.is_connected, "a connection")
    assert issuer.requests == before + 1
    await connected(js, public, f"bob{mine}", {"token": old})


async def test_a_key_that_is_replaced_under_its_name_is_fetched_at_once(
    valkey: Valkey, gateway: StartGateway, js: JsClients, mine: str
) -> None:
    async with running_issuer() as issuer:
        issuer.rotate("k1", "EdDSA")
        settings = {"CONSTELLATION_AUTH_MODE": "jwt", "CONSTELLATION_JWT_JWKS_URL": issuer.url}
        async with gateway(valkey.url, **settings) as pod:
            user = f"bob{mine}"
            await connected(js, pod, user, {"token": issuer.token_of(user)})
            issuer.replace("k1", "another")
            await connected(js, pod, user, {"token": issuer.token_of(user)})
            assert issuer.requests == 2


async def test_tokens_that_are_not_genuine_ask_for_keys_once(
    valkey: Valkey, gateway: StartGateway, js: JsClients
) -> None:
    async with running_issuer() as issuer:
        issuer.rotate("k1", "EdDSA")
        settings = {"CONSTELLATION_AUTH_MODE": "jwt", "CONSTELLATION_JWT_JWKS_URL": issuer.url}
        async with gateway(valkey.url, **settings) as pod:
            eve = key_pair("EdDSA", "eve")
            for _ in range(3):
                token = eve.sign(claims_of("eve"), kid="unknown")
                client = js.open(pod.chats_url, auth={"token": token})
                assert (await client.refused()).code == "token_invalid"
            for kid in ("k1", "unknown too"):  # not judged yet: a newer key may be there by now
                js.open(pod.chats_url, auth={"token": eve.sign(claims_of("eve"), kid=kid)})

            async def all_answered() -> bool:
                return await pod.metric("constellation_connects_total", code="auth_unavailable") > 1

            await eventually(all_answered, PATIENCE_SECONDS, "both are answered")
            assert await pod.metric("constellation_connects_total", code="ok") == 0
            assert issuer.requests <= 2


async def test_while_the_issuer_is_away_the_old_keys_serve(
    public: Gateway, issuer: Issuer, js: JsClients, mine: str
) -> None:
    issuer.fall_ill()
    await connected(js, public, f"bob{mine}", {"token": issuer.token_of(f"bob{mine}")})
    assert await public.is_ready()
    issuer.recover()


async def test_without_any_keys_the_pod_is_not_ready_and_says_so_to_clients(
    valkey: Valkey, gateway: StartGateway, js: JsClients, mine: str
) -> None:
    async with running_issuer() as issuer:
        issuer.rotate("k1", "EdDSA")
        issuer.fall_ill()
        settings = {"CONSTELLATION_AUTH_MODE": "jwt", "CONSTELLATION_JWT_JWKS_URL": issuer.url}
        async with gateway(valkey.url, is_awaited=False, **settings) as pod:
            await pod.listening()
            await eventually(lambda: issuer.requests, PATIENCE_SECONDS, "keys are asked for")
            token = issuer.token_of(f"bob{mine}")
            client = js.open(pod.chats_url, auth={"token": token})

            async def is_refused() -> bool:
                labels = {"code": "auth_unavailable"}
                return bool(await pod.metric("constellation_connects_total", **labels))

            await eventually(is_refused, PATIENCE_SECONDS, "the client was refused")
            assert "keys" in (await pod.get("/readyz")).json()["failing"]
            assert len(pod.log("client refused for now: auth_unavailable")) == 1

            issuer.recover()

            await pod.ready()
            # No `connect_error`, after which it would not come back.
            await client.until(client.is_connected, "a connection")
            assert not any(refusal.data for refusal in client.refusals)
            await connected(js, pod, f"bob{mine}", {"token": token})
            assert len(pod.log("keys cannot be fetched")) == 1
            assert len(pod.log("keys fetched")) == 1


async def test_settings_that_contradict_one_another_stop_the_start(
    valkey: Valkey, log_path: Callable[[], Path]
) -> None:
    settings = {"CONSTELLATION_AUTH_MODE": "jwt", "CONSTELLATION_JWT_SECRET": "hunter2"}
    ended = await ended_gateway(log_path(), valkey.url, **settings)
    assert ended.code == 2
    assert "CONSTELLATION_JWT_SECRET has 7 bytes; HS256 requires 32" in "\n".join(ended.lines)
    assert "hunter2" not in "\n".join(ended.lines)


async def connected(
    js: JsClients,
    pod: Gateway,
    user: str,
    auth: dict[str, object],
    transports: tuple[str, ...] = WEBSOCKET,
    **options: object,
) -> JsClient:
    """A client that is let in with what it presents."""
    return await js.connect(pod.chats_url, user=user, auth=auth, transports=transports, **options)
