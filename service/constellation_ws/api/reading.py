"""What a request says, from its bytes: credentials, parameters, body. Decisions only.

Each raises RequestRefused where that cannot be read, with a sentence that says what to change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec

from constellation_ws.messages import half_pairs
from constellation_ws.messages.events import slice_array
from constellation_ws.services.refusals import RequestRefused

Fields = Iterable[tuple[bytes, bytes]]
"""Headers, with their names in lower case."""
Shape = TypeVar("Shape", bound=msgspec.Struct)

_MAX_PARAMETERS = 20
_MAX_RETRY_KEY_CHARS = 255


def read_token(headers: Fields) -> str:
    """Read the key that the caller presents."""
    values = _values(headers, b"authorization")
    scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token.strip():
        raise RequestRefused("unauthorized", "send your key as `Authorization: Bearer <key>`")
    return token.strip()


def read_retry_key(headers: Fields) -> str | None:
    """Read the Idempotency-Key; None where there is none."""
    values = _values(headers, b"idempotency-key")
    if not values:
        return None
    value = values[0]
    is_visible = value.isascii() and value.isprintable() and " " not in value
    if len(values) > 1 or not is_visible or not 0 < len(value) <= _MAX_RETRY_KEY_CHARS:
        sentence = f"Idempotency-Key must be 1 to {_MAX_RETRY_KEY_CHARS} visible ASCII characters"
        raise RequestRefused("invalid_request", sentence)
    return value


def check_media_type(headers: Fields) -> None:
    """Require JSON, uncompressed."""
    media_type, _, parameters = ", ".join(_values(headers, b"content-type")).partition(";")
    charset = parameters.strip().lower().replace('"', "")
    if media_type.strip().lower() != "application/json" or charset not in ("", "charset=utf-8"):
        raise RequestRefused("unsupported_media_type", "send JSON as `application/json`, in UTF-8")
    if _values(headers, b"content-encoding") not in ([], ["identity"]):
        raise RequestRefused("unsupported_media_type", "Content-Encoding is not supported")


def read_parameters(in_path: Mapping[str, str], query: bytes, shape: type[Shape]) -> Shape:
    """Read the parameters of the path and of the query."""
    try:
        given = parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MAX_PARAMETERS,
        )
        if len(dict(given)) < len(given) or not dict(given).keys().isdisjoint(in_path):
            raise ValueError("a parameter is given twice")
        return msgspec.convert({**in_path, **dict(given)}, shape, strict=False)
    except ValueError as error:  # msgspec's, and of bytes that are not UTF-8
        raise RequestRefused(
            "invalid_request", f"the parameters cannot be read: {error}"
        ) from error


def read_body(body: bytes, shape: Any) -> Any:
    """Read the JSON of a body."""
    try:
        if not body.isascii():
            body.decode()  # msgspec looks into no value that stays as it was written
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as error:
        raise RequestRefused("invalid_request", f"the body cannot be read: {error}") from error
    except RecursionError as error:
        raise RequestRefused("invalid_request", "the body is nested too deeply") from error
    except ValueError:  # msgspec's, and of bytes that are not UTF-8
        return _read_leniently(body, shape)


def _read_leniently(body: bytes, shape: Any) -> Any:
    """Read what msgspec refuses but JSON allows in `data`: half of a surrogate pair."""
    try:
        text = body.decode()
        if not text.lstrip().startswith("["):
            return half_pairs.read_request(text, shape)
        texts = [bytes(one).decode() for one in slice_array(text)]
        msgspec.json.decode(half_pairs.repaired(body), type=shape)  # how many it may be, say
        return [half_pairs.read_request(one, shape) for one in texts]
    except (msgspec.ValidationError, half_pairs.HalfPair) as error:
        raise RequestRefused("invalid_request", f"the body cannot be read: {error}") from error
    except (ValueError, RecursionError) as error:
        raise RequestRefused("invalid_json", "the body is not JSON in UTF-8") from error


def _values(headers: Fields, name: bytes) -> list[str]:
    return [value.decode("latin-1").strip() for key, value in headers if key == name]
