"""The files that browsers get: read once, sent with a policy that admits no script of others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from constellation_ws.api.app import Scope, Send

_FOLDER = Path(__file__).with_name("assets")
_TYPES = {
    ".html": b"text/html; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
}
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    b"require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Nothing inline and nothing from elsewhere; a user id that is markup stays text."""


@dataclass(frozen=True, slots=True)
class File:
    """One file."""

    body: bytes
    content_type: bytes
    tag: bytes


class Files:
    """Files by the names that they have in the browser."""

    def __init__(self, names: Iterable[str], index: str) -> None:
        """`index` is the page that is sent where no file is named."""
        self._files = {name: _read(name) for name in (*names, index)}
        self._files[""] = self._files[index]

    def __contains__(self, name: object) -> bool:
        return name in self._files

    async def send(self, name: str, scope: Scope, send: Send) -> None:
        """Send a file that is there, or only that it has not changed."""
        file = self._files[name]
        is_known = (b"if-none-match", file.tag) in scope["headers"]
        headers = [
            (b"content-type", file.content_type),
            (b"content-security-policy", _POLICY),
            (b"cross-origin-opener-policy", b"same-origin"),
            (b"cross-origin-resource-policy", b"same-origin"),
            (b"cache-control", b"no-cache"),
            (b"etag", file.tag),
        ]
        if not is_known:
            headers.append((b"content-length", b"%d" % len(file.body)))
        status = 304 if is_known else 200
        body = b"" if is_known or scope["method"] == "HEAD" else file.body
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _read(name: str) -> File:
    path = _FOLDER / name
    body = path.read_bytes()
    tag = f'"{hashlib.blake2b(body, digest_size=8).hexdigest()}"'.encode()
    return File(body, _TYPES[path.suffix], tag)
