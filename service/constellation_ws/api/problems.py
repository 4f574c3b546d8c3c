"""How a request that is not executed is answered: codes, statuses, headers. Pure.

Codes are words that programs switch on: they are part of the contract, messages are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple

import msgspec

from constellation_ws.api.shapes import Error, Problem
from constellation_ws.services.refusals import PartlyPublished, RequestRefused

Headers = tuple[tuple[bytes, bytes], ...]

STATUSES: Mapping[str, HTTPStatus] = {
    "invalid_json": HTTPStatus.BAD_REQUEST,
    "invalid_request": HTTPStatus.BAD_REQUEST,
    "unknown_channel": HTTPStatus.BAD_REQUEST,
    "unauthorized": HTTPStatus.UNAUTHORIZED,
    "forbidden": HTTPStatus.FORBIDDEN,
    "not_found": HTTPStatus.NOT_FOUND,
    "method_not_allowed": HTTPStatus.METHOD_NOT_ALLOWED,
    "too_slow": HTTPStatus.REQUEST_TIMEOUT,
    "too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "unsupported_media_type": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "idempotency_key_reused": HTTPStatus.UNPROCESSABLE_ENTITY,
    "rate_limited": HTTPStatus.TOO_MANY_REQUESTS,
    "internal_error": HTTPStatus.INTERNAL_SERVER_ERROR,
    "overloaded": HTTPStatus.SERVICE_UNAVAILABLE,
    "partly_published": HTTPStatus.SERVICE_UNAVAILABLE,
    "unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
}
"""Every code and its status. What cannot be read is 400 in every case; 422 is for what was read,
and contradicts what was requested before."""

JSON = (b"content-type", b"application/json")
_RETRY_SOON = (b"retry-after", b"1")
_CLOSE = (b"connection", b"close")
_HEADERS: Mapping[HTTPStatus, Headers] = {
    HTTPStatus.UNAUTHORIZED: ((b"www-authenticate", b"Bearer"),),
    HTTPStatus.REQUEST_TIMEOUT: (_CLOSE,),
    HTTPStatus.TOO_MANY_REQUESTS: (_RETRY_SOON,),
    HTTPStatus.SERVICE_UNAVAILABLE: (_RETRY_SOON,),
}

OK = "ok"


class ApiResponse(NamedTuple):
    """What is sent back."""

    status: HTTPStatus
    headers: Headers
    body: bytes
    outcome: str
    """`ok`, or the code of the refusal."""


class MethodRefused(RequestRefused):
    """The path exists, and has other methods."""

    def __init__(self, methods: str) -> None:
        RequestRefused.__init__(self, "method_not_allowed", f"this path has {methods}")
        self.methods = methods


def write_problem(code: str, message: str, accepted: list[bool] | None = None) -> bytes:
    """Write the body of a refusal."""
    return msgspec.json.encode(Problem(Error(code, message), accepted))


def success(status: HTTPStatus, answer: msgspec.Struct | msgspec.Raw) -> ApiResponse:
    """Answer what was asked."""
    return ApiResponse(status, (JSON,), msgspec.json.encode(answer), OK)


def problem(refusal: RequestRefused) -> ApiResponse:
    """Answer why not."""
    status = STATUSES[refusal.code]
    headers = (JSON, *_HEADERS.get(status, ()))
    if isinstance(refusal, MethodRefused):
        headers = (*headers, (b"allow", refusal.methods.encode()))
    accepted = refusal.accepted if isinstance(refusal, PartlyPublished) else None
    body = write_problem(refusal.code, refusal.message, accepted)
    return ApiResponse(status, headers, body, refusal.code)
