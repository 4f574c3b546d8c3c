"""What has to be true of the verification of tokens whatever a client presents.

Nothing is raised but a refusal is returned, none holds a part of the token, and only who signs with
our key gets in. Not here: where the bytes come from.
"""

import base64
import hashlib
import hmac

from constellation_ws.auth.identity import Identity, find_token, proof_in
from constellation_ws.auth.jwt_keys import BadKey, VerificationKey, choose, read_key_set
from constellation_ws.auth.tokens import Header, Rules, read_header, verify
from constellation_ws.messages.admission import Refusal

SECRET = b"the fuzzers' secret, of enough bytes for HS256"
NOW = 1_800_000_000.0
RULES = Rules(frozenset(["HS256"]), None, None, 5, "sub", "chats", 128)
KEY = VerificationKey(SECRET, RULES.algorithms)
_LONG_ENOUGH_TO_TELL = 12


def check_bytes(data: bytes) -> None:
    """Present any bytes as a token, and as a key set. AssertionError where a promise is broken."""
    check_token(data.decode("latin-1"), is_signed=False)
    check_token(data.decode("utf-8", "surrogateescape"), is_signed=False)
    check_key_set(data)
    check_headers(data)


def check_headers(data: bytes) -> None:
    """Look for a token in any bytes of a header, and keep no more of them than that needs."""
    headers = [(b"authorization", data), (b"cookie", data)]
    kept = proof_in(headers, "t")
    for auth in (None, {"token": data.decode("latin-1")}, {"token": data}):
        token = find_token(auth, headers, "t")
        assert find_token(auth, kept, "t") == token
        if isinstance(token, str):
            check_token(token, is_signed=False)


def check_parts(header: bytes, payload: bytes, signature: bytes) -> None:
    """Present a token of three parts: with the given signature, then with a genuine one."""
    head = b".".join(map(_base64, (header, payload)))
    check_token((head + b"." + _base64(signature)).decode(), is_signed=False)
    genuine = hmac.digest(SECRET, head, hashlib.sha256)
    check_token((head + b"." + _base64(genuine)).decode(), is_signed=True)


def check_token(token: str, *, is_signed: bool) -> None:
    """Follow one token as the gateway does."""
    header = read_header(token, RULES)
    found: Identity | Header | Refusal = header
    if not isinstance(header, Refusal):
        assert header.algorithm == "HS256"
        assert choose([KEY], header.kid, header.algorithm) is KEY
        found = verify(token, KEY, RULES, NOW)
    # A token that is not read is not verified by the gateway: that must hold all the same.
    for result in (found, verify(token, KEY, RULES, NOW)):
        if isinstance(result, Identity):
            _check_identity(result, is_signed)
        elif isinstance(result, Refusal):
            _check_refusal(result, token)


def check_key_set(document: bytes) -> None:
    """Read any bytes as a JWK Set."""
    try:
        keys = read_key_set(document, RULES.algorithms)
    except BadKey:
        return
    raise AssertionError(f"a public key for HS256: {keys}")


def _check_identity(identity: Identity, is_signed: bool) -> None:
    assert is_signed
    assert 0 < len(identity.user) <= RULES.max_id_chars
    assert identity.user.isprintable()
    assert identity.expires_at is not None
    assert identity.expires_at > NOW
    assert identity.chats is None or all(isinstance(chat, str) for chat in identity.chats)


def _check_refusal(refusal: Refusal, token: str) -> None:
    assert refusal.code in ("token_invalid", "token_expired", "invalid_user")
    assert refusal.message.isprintable()
    if len(token) >= _LONG_ENOUGH_TO_TELL:
        assert token not in refusal.message


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
