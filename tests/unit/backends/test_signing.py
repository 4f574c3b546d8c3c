"""The signature is one that any HMAC library verifies, and is about time and body together."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import subprocess
import time

import pytest

from constellation_ws.backends.signing import sign
from tests.processes import REPOSITORY, node_executable

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


EXAMPLE = re.compile(r"```js\n(.*?isFromGateway.*?)```", re.DOTALL)
VERIFY = """
const [key, timestamp, signature, body] = JSON.parse(process.argv[1])
const headers = { 'x-constellation-timestamp': timestamp, 'x-constellation-signature': signature }
console.log([headers, {}].map((one) => isFromGateway(key, one, Buffer.from(body))).join(' '))
"""


@pytest.mark.parametrize(
    ("key", "age_seconds", "body", "is_valid"),
    [
        (KEY, 0, BODY, True),
        (KEY, 290, BODY, True),
        (KEY, 310, BODY, False),
        (KEY, -310, BODY, False),
        (b"other", 0, BODY, False),
        (KEY, 0, BODY + b" ", False),
    ],
)
def test_the_example_for_node_verifies_it(
    key: bytes, age_seconds: int, body: bytes, is_valid: bool
) -> None:
    found = EXAMPLE.search((REPOSITORY / "SECURITY.md").read_text(encoding="utf-8"))
    assert found is not None
    sent = sign(KEY, int(time.time()) - age_seconds, BODY)
    arguments = [key.decode(), *sent.values(), body.decode()]
    script = found[1].replace("export ", "") + VERIFY
    command = [node_executable(), "--input-type=module", "--eval", script, json.dumps(arguments)]
    printed = subprocess.run(command, capture_output=True, check=True, text=True, timeout=30)
    assert printed.stdout.split() == [str(is_valid).lower(), "false"]
