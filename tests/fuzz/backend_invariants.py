"""What has to be true of backends' answers: an ack is JSON, and a refusal can be sent.

Either one that is not would cost the client its connection.
"""

import json

from constellation_ws.backends.answers import BackendFailed, read_ack, read_refusal
from constellation_ws.nest.framing import FramingError, read_reply


def check(data: bytes) -> None:
    """Take any bytes as the body of an answer, and as a NestJS reply."""
    _check_ack(data)
    _check_refusal(data)
    try:
        # The decoder of frames hands on no bytes that are not UTF-8.
        reply = read_reply(data.decode(errors="replace").encode())
    except FramingError:
        return
    if reply.failure is None:
        _check_ack(reply.response)
    else:
        _check_refusal(reply.failure)


def _check_ack(body: bytes) -> None:
    try:
        ack = bytes(read_ack(body))
    except BackendFailed:
        return
    json.loads(ack.decode(), parse_constant=_refuse)
    assert ack == (body or b"null")


def _check_refusal(body: bytes) -> None:
    sent = json.dumps(read_refusal(body).acknowledgement(), ensure_ascii=False).encode()
    error = json.loads(sent)["error"]
    assert error["code"]
    assert error["message"]


def _refuse(name: str) -> None:
    raise AssertionError(f"JSON.parse refuses {name}")
