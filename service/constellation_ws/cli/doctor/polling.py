"""Does a client that polls work, whose requests each may reach another pod? And is it admitted?"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

from constellation_ws.cli.doctor.target import Http, Response, Target
from constellation_ws.cli.findings import Finding, failed, ok, skipped, warning
from constellation_ws.cli.lean_client import Refused, connect_packet, read_answer, read_handshake

_SESSIONS = 3
_ROUNDS = 3
"""Each is a POST and a GET. With two pods in turn, or at random, some reach the other one."""
_PAUSE_SECONDS = 0.05
"""Within the default rate of a client's requests."""
UNKNOWN = "unknown_session"
CUT_PEERS = (
    "let pods reach each other on port 7757: NetworkPolicy, CONSTELLATION_PEER_ADDRESS, "
    "`constellation-ws check` in a pod tries each; or make the balancer sticky"
)
_KEEP_ALIVE = (
    "the pod closes connections before the proxy does: CONSTELLATION_KEEP_ALIVE_SECONDS must be "
    "longer than the proxy's idle timeout for backends; or a pod has ended and still gets requests"
)
_REFUSALS = {
    "unauthorized": "give --token (clients: auth.token); `constellation-ws token USER` makes one "
    "where CONSTELLATION_JWT_SECRET is set",
    "token_expired": "get a new token; clients must do so before they connect again",
    "token_invalid": "compare issuer, audience, algorithm and key with CONSTELLATION_JWT_…",
    "invalid_user": "give another --user",
    "invalid_namespace": "give --namespace, one of the interface table",
    "too_many_connections": "give another --user, or raise CONSTELLATION_MAX_CONNECTIONS_PER_USER",
}
_FULL = "`constellation-ws status` and INFO memory: Redis is full, read-only or away"


class Failure(Exception):
    """A request of a session was not answered as it should be."""

    def __init__(self, answer: Response, what: str) -> None:
        super().__init__(f"{what}: {answer}")
        self.answer = answer


class Ended(Exception):
    """The server has closed the session instead of answering."""


@dataclass(slots=True)
class _Session:
    """One client that polls."""

    http: Http
    sid: str = ""

    async def open(self) -> None:
        """Open the session. Raises Failure."""
        answer = await self.http.handshake()
        try:
            self.sid = read_handshake(answer.text).sid
        except ValueError as error:
            raise Failure(answer, "handshake") from error

    async def post(self, packet: str) -> None:
        """Raises Failure."""
        answer = await self.http.post(self.sid, packet)
        if answer.status != 200:
            raise Failure(answer, "POST")

    async def packet(self, kinds: tuple[str, ...]) -> str:
        """Poll until a packet of these kinds comes. Raises Failure and Ended."""
        while True:
            answer = await self.http.poll(self.sid)
            if answer.status != 200:
                raise Failure(answer, "poll")
            for packet in answer.text.split("\x1e"):
                if packet.startswith(kinds):
                    return packet
                if packet == "1":
                    raise Ended
                if packet == "2":
                    await self.post("3")


async def check_polling(http: Http) -> AsyncIterator[Finding]:
    """Connect by polling, make some requests, and close. The first fault of a kind is found."""
    try:
        answers = [answer async for answer in _converse(http)]
    except Refused as refused:
        yield ok("polling", "a namespace answers by polling")
        yield judge_refusal(http.target, refused)
    except Ended:
        yield failed(
            "identity",
            "the gateway closed the session instead of answering, as it does while it cannot "
            "verify tokens (auth_unavailable)",
            "see the gateway's log: the keys of CONSTELLATION_JWT_JWKS_URL cannot be fetched",
        )
    except Failure as failure:
        yield await _judge_failure(http, failure)
    else:
        yield ok("polling", f"{_SESSIONS} sessions, {_ROUNDS} requests each, all answered")
        yield ok("identity", f"user {http.target.user} is admitted to {http.target.namespace}")
        for expiry in _judge_expiry(http.target):
            yield expiry
        yield judge_acks(answers)


async def _converse(http: Http) -> AsyncIterator[str]:
    """Yield the codes of acks. Raises Refused, Ended and Failure."""
    target = http.target
    for _ in range(_SESSIONS):
        session = _Session(http)
        await session.open()
        await session.post(connect_packet(target.namespace, target.auth))
        answer = await session.packet((f"40{target.namespace},", f"44{target.namespace},"))
        read_answer(target.namespace, answer)
        chat = f"doctor-{secrets.token_hex(4)}"
        for round_ in range(_ROUNDS):
            ask = json.dumps(["join-chat" if round_ == 0 else "leave-chat", {"chatId": chat}])
            prefix = f"{target.namespace},{round_}"
            await session.post(f"42{prefix}{ask}")
            ack = await session.packet((f"43{prefix}[",))
            yield _code_of(ack[len(f"43{prefix}") :])
            await asyncio.sleep(_PAUSE_SECONDS)
        await session.post("1")


def _code_of(arguments: str) -> str:
    try:
        (answer,) = json.loads(arguments)
        return "" if answer.get("success") else str(answer["error"]["code"])
    except (ValueError, TypeError, KeyError, AttributeError):
        return ""


def judge_acks(codes: list[str]) -> Finding:
    """Say whether what a positive ack promises can be kept: it is written to Redis."""
    if "unavailable" in codes:
        detail = "a join is refused with unavailable: the pods cannot write to Redis"
        return failed("requests", detail, _FULL)
    if "access_unavailable" in codes:
        remedy = "see the gateway's log: the API of CONSTELLATION_CHAT_ACCESS does not answer"
        return warning("requests", "a join is refused with access_unavailable", remedy)
    if "unknown_event" in codes:
        return skipped("requests", "the interface has no join-chat; other requests are answered")
    return ok("requests", f"join and leave are answered{_refused_with(codes)}")


def _refused_with(codes: list[str]) -> str:
    refused = sorted(set(filter(None, codes)))
    return f" ({', '.join(refused)})" if refused else ""


def judge_refusal(target: Target, refused: Refused) -> Finding:
    """Say why the namespace was refused, with what the token itself says."""
    remedy = _REFUSALS.get(refused.code, "look up the code in the README")
    told = "".join(f"; {one}" for one in _claims_of(target))
    return failed("identity", f"{refused.code}: {refused}{told}", remedy)


def _judge_expiry(target: Target) -> Iterator[Finding]:
    claims = _read_claims(target.token)
    left = (float(claims["exp"]) - time.time()) if "exp" in claims else None
    if left is not None and left < 300:
        remedy = "clients need a new token before this one ends: refresh-token, or a reconnect"
        yield warning("identity", f"the token expires in {left:.0f} s", remedy)


def _claims_of(target: Target) -> Iterator[str]:
    """Say what the token claims: it was not accepted, so nothing of it is proven."""
    claims = _read_claims(target.token)
    if "exp" in claims:
        yield f"its exp is {float(claims['exp']) - time.time():+.0f} s from now"
    yield from (f"its {name} is {claims[name]}" for name in ("iss", "aud") if name in claims)


def _read_claims(token: str | None) -> dict[str, Any]:
    try:
        _, body, _ = (token or "").split(".")
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return dict(claims)
    except (ValueError, TypeError):
        return {}


async def _judge_failure(http: Http, failure: Failure) -> Finding:
    answer = failure.answer
    if answer.code == UNKNOWN:
        detail = (
            "a request reached another pod than its session's, and was refused with "
            "unknown_session: the balancer is not sticky, and pods do not reach each other"
        )
        if "set-cookie" in {name.lower() for name in (await http.handshake()).headers}:
            detail += " (it sets a cookie, which pages of other sites send only withCredentials)"
        return failed("polling", detail, CUT_PEERS)
    if answer.is_from_proxy or answer.fault:
        return failed("polling", f"{failure}, from a proxy or nobody", _KEEP_ALIVE)
    if answer.status in (404, 405, 413, 403):
        remedy = "let the proxy pass GET and POST of any query and of bodies up to 1 MB"
        return failed("polling", f"{failure}: the proxy does not pass it", remedy)
    remedy = _REFUSALS.get(answer.code, "look up the code in the README; the log has it too")
    return failed("polling", f"{failure}", remedy)
