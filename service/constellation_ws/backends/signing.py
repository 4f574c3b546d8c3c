"""How a backend knows that a POST is from the gateway. Pure; SECURITY.md has the other side."""

from __future__ import annotations

import hmac


def sign(key: bytes, unix_seconds: int, body: bytes) -> dict[str, str]:
    """Give the headers that prove who wrote this body, and when."""
    text = b"%d.%b" % (unix_seconds, body)
    return {
        "X-Constellation-Timestamp": str(unix_seconds),
        "X-Constellation-Signature": f"sha256={hmac.digest(key, text, 'sha256').hex()}",
    }
