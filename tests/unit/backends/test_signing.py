"""The signature is one that any HMAC library verifies, and is about time and body together."""

from __future__ import annotations

import hashlib
import hmac

from constellation_ws.backends.signing import sign

KEY, BODY = b"secret", '{"event":"Привет"}'.encode()


def test_it_is_the_hmac_of_the_timestamp_a_dot_and_the_body() -> None:
    expected = hmac.new(KEY, b"1764086400." + BODY, hashlib.sha256).hexdigest()
    assert sign(KEY, 1764086400, BODY) == {
        "X-Constellation-Timestamp": "1764086400",
        "X-Constellation-Signature": f"sha256={expected}",
    }


def test_another_time_body_or_key_has_another_signature() -> None:
    signatures = {
        sign(key, seconds, body)["X-Constellation-Signature"]
        for key in (KEY, b"other")
        for seconds in (1, 11)
        for body in (BODY, b"1." + BODY)
    }
    assert len(signatures) == 8
