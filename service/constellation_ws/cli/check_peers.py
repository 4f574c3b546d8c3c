"""`check`: can the other pods be reached from here, and do they take this one for a pod?"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from typing import Any

import msgspec
from redis.exceptions import RedisError

from constellation_ws.cli.findings import Finding, Verdict
from constellation_ws.peers.directory import KEY_SECONDS, REFRESH_SECONDS, Peer, read_entry
from constellation_ws.peers.proof import NONCE_BYTES, Challenge, Proof, is_welcome, sign_proof
from constellation_ws.peers.wire import UNREADABLE, Framed, Frames, Kind, frame
from constellation_ws.redis_io.faults import explain
from constellation_ws.redis_io.names import Names
from constellation_ws.runtime.listening import bracketed

_ANSWER_SECONDS = 2.0
_SUBJECT = "peer"


def inspect_peers(redis: Any, names: Names) -> Iterator[Finding]:
    """Connect to the peer port of each pod that is registered, and prove to be one."""
    try:
        seconds, _ = redis.time()
        entries = redis.zrangebyscore(names.peers, float(seconds), "+inf", withscores=True)
        key = redis.get(names.peer_key(int(seconds) // KEY_SECONDS))
    except RedisError as error:
        yield Finding(_SUBJECT, Verdict.WARNING, f"not checked: {explain(error)}")
        return
    if not entries:
        yield Finding(_SUBJECT, Verdict.OK, "no pod is registered now")
    for entry, lives_until in entries:
        peer = read_entry(entry)
        if peer is None:
            yield Finding(_SUBJECT, Verdict.OK, "a pod of another release is not asked")
            continue
        finding = _inspect(peer, bytes(key or b""))
        if finding.verdict is Verdict.FAILED and not _lives(redis, names, entry, lives_until):
            detail = f"{peer.instance} has ended and is about to be forgotten"
            finding = Finding(_SUBJECT, Verdict.OK, detail)
        yield finding


def _lives(redis: Any, names: Names, entry: bytes, lives_until: float) -> bool:
    """Return whether a pod still registers itself; a killed one stays listed for some seconds."""
    time.sleep(2 * REFRESH_SECONDS)
    try:
        return float(redis.zscore(names.peers, entry) or 0) > lives_until
    except RedisError:
        return True


def _inspect(peer: Peer, key: bytes) -> Finding:
    address = f"{bracketed(peer.host)}:{peer.port}"
    started = time.perf_counter()
    try:
        _greet(peer, key)
    except (OSError, UnicodeError, *UNREADABLE) as error:
        reason = getattr(error, "strerror", None) or str(error) or "it does not answer"
        remedy = (
            "let pods reach each other there (NetworkPolicy), or correct its "
            "CONSTELLATION_PEER_ADDRESS"
        )
        detail = f"{peer.instance} at {address} cannot be used: {reason}; {remedy}"
        return Finding(_SUBJECT, Verdict.FAILED, detail)
    taken_ms = (time.perf_counter() - started) * 1_000
    return Finding(
        _SUBJECT, Verdict.OK, f"{peer.instance} at {address} answered in {taken_ms:.1f} ms"
    )


def _greet(peer: Peer, key: bytes) -> None:
    """Prove to be a pod, and have the other side prove it. Raises OSError where that fails."""
    frames = Frames()
    with socket.create_connection((peer.host, peer.port), timeout=_ANSWER_SECONDS) as line:
        challenge = msgspec.msgpack.decode(_next(line, frames).payload, type=Challenge)
        nonce = os.urandom(NONCE_BYTES)
        signature = sign_proof(key, challenge, "check", peer.instance, nonce)
        proof = Proof("check", peer.instance, nonce, signature)
        line.sendall(frame(Kind.PROOF, 0, msgspec.msgpack.encode(proof)))
        welcome = _next(line, frames)
        if not is_welcome(key, challenge, proof, welcome.payload):
            raise ConnectionError("it is no pod of this deployment")


def _next(line: socket.socket, frames: Frames) -> Framed:
    while (found := frames.next()) is None:
        data = line.recv(4096)
        if not data:
            raise ConnectionError("it closes the connection: it knows another key")
        frames.feed(data)
    return found
