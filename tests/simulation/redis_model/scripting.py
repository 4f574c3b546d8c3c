"""Lua scripts, executed for real: one Lua runtime for all of them, and for all Redis models.

Scripts see `KEYS`, `ARGV`, `redis.call`, `redis.pcall` and `cjson.encode`, which is all that
those of the gateway use.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from lupa.lua51 import LuaError, LuaRuntime, lua_type

from tests.simulation.redis_model.replies import Failure, Refusal, Reply, Status, format_score

_PRELUDE = """
function(call, encode)
  local function checked(...)
    local reply = call(...)
    if type(reply) == 'table' and reply.err then error(reply, 0) end
    return reply
  end
  redis = {call = checked, pcall = call}
  cjson = {encode = encode}
  return function(script, KEYS, ARGV)
    local is_done, result = pcall(script, KEYS, ARGV)
    return is_done, result
  end
end
"""
Call = Callable[[list[bytes]], Reply]


class Scripts:
    """Scripts that a Redis has, by their SHA1."""

    _compiled: dict[bytes, Any] = {}  # noqa: RUF012 - shared: they depend on nothing
    _lua: Any = None
    _guarded: Any = None
    _call: Call

    def __init__(self) -> None:
        self.known: set[bytes] = set()
        if Scripts._lua is None:
            Scripts._lua = LuaRuntime(encoding=None, register_eval=False)
            Scripts._guarded = Scripts._lua.eval(_PRELUDE)(_call_from_lua, _encode_json)

    def load(self, source: bytes) -> bytes:
        """Keep a script; return its SHA1. Raises Refusal."""
        digest = hashlib.sha1(source, usedforsecurity=False).hexdigest().encode()
        if digest not in Scripts._compiled:
            try:
                function = Scripts._lua.eval(b"function(KEYS, ARGV) " + source + b"\nend")
            except LuaError as error:
                raise Refusal(f"ERR Error compiling script: {error}") from None
            Scripts._compiled[digest] = function
        self.known.add(digest)
        return digest

    def run(self, digest: bytes, keys: list[bytes], arguments: list[bytes], call: Call) -> Reply:
        """Execute a script whose commands go to `call`. Raises Refusal."""
        if digest not in self.known:
            raise Refusal("NOSCRIPT No matching script.")
        lua, function = Scripts._lua, Scripts._compiled[digest]
        Scripts._call = staticmethod(call)
        is_done, result = Scripts._guarded(
            function, lua.table_from(keys), lua.table_from(arguments)
        )
        if not is_done:
            raise Refusal(_explain(result, digest))
        return _from_lua(result)


def _call_from_lua(*words: Any) -> Any:
    try:
        return _to_lua(Scripts._call([_word(one) for one in words]))
    except Refusal as error:
        return Scripts._lua.table_from({b"err": str(error).encode()})


def _word(value: Any) -> bytes:
    if type(value) is bytes:
        return value
    if type(value) is int:
        return b"%d" % value
    if type(value) is float:
        return b"%d" % value if value == int(value) else b"%.17g" % value
    raise Refusal("ERR Lua redis lib command arguments must be strings or integers")


def _to_lua(reply: Reply) -> Any:
    """Convert a reply as in RESP 2, where there are no maps and no floating-point numbers."""
    if reply is None:
        return False
    if isinstance(reply, bytes | int):
        return reply
    if isinstance(reply, float):
        return format_score(reply)
    if isinstance(reply, list):
        return Scripts._lua.table_from([_to_lua(one) for one in reply])
    if isinstance(reply, dict):
        return Scripts._lua.table_from([_to_lua(one) for pair in reply.items() for one in pair])
    assert isinstance(reply, Status), "errors are raised"
    return Scripts._lua.table_from({b"ok": reply.text.encode()})


def _from_lua(value: Any) -> Reply:
    if value is None or value is False:
        return None
    if value is True:
        return 1
    if isinstance(value, int | float):
        return int(value)
    if isinstance(value, bytes):
        return value
    if lua_type(value) != "table":
        return None
    if value[b"ok"] is not None:
        return Status(value[b"ok"].decode())
    if value[b"err"] is not None:
        return Failure(value[b"err"].decode())
    found = []
    for place in range(1, len(value) + 1):
        if value[place] is None:
            break
        found.append(_from_lua(value[place]))
    return found


def _explain(raised: Any, digest: bytes) -> str:
    """Give what Redis answers: an error of a command keeps its code."""
    if lua_type(raised) == "table" and raised[b"err"] is not None:
        text = raised[b"err"].decode()
    else:
        text = f"ERR {bytes(raised).decode(errors='replace')}"
    return f"{text} script: {digest.decode()}, on @user_script:1."


def _encode_json(value: Any) -> bytes:
    """Write a string as JSON: scripts encode nothing else."""
    text = json.dumps(bytes(value).decode(errors="replace"), ensure_ascii=False)
    return text.replace("/", "\\/").encode()
