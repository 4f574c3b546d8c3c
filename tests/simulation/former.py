"""The release before packed entries, as far as it does something else than this one.

It passes over packed entries in silence, does not say that it can read them, and takes a log that
is marked for a damaged one. It is this release with those parts replaced, on hosts that are
`is_former`.
"""

from __future__ import annotations

from asyncio import events
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from constellation_ws.chats.presence import Presence
from constellation_ws.log import append_scripts, appender, layout, scripts, state
from constellation_ws.log.appender import Appender
from constellation_ws.log.state import LogState, Packing
from tests.simulation.hosts import Host

_MARK = "local count = kept[1] == 'packed 1' and kept[4] or kept[1]"
_FORGOTTEN = "redis.call('HDEL', KEYS[2], 'gone', 'packing', 'packs', 'packed')"


def _without(script: str, what: str, instead: str) -> str:
    assert what in script, "the script has changed"
    return script.replace(what, instead)


_LOOK = _without(scripts.LOOK, _MARK, "local count = kept[1]")
_TRIM = _without(append_scripts.TRIM, _MARK, "local count = kept[1]")
_REPLACE = _without(scripts.REPLACE, _FORGOTTEN, "")


def _is_former() -> bool:
    host = events._get_running_loop()
    return isinstance(host, Host) and host.is_former


@contextmanager
def former_release() -> Iterator[None]:
    """Let what runs on a host of that release do what that release does."""
    read_packed, show, permit = layout._read_packed, Presence._show, LogState.permit_packing
    begin_state, begin_appender = LogState.__init__, Appender.__init__

    def pass_over(content: layout.Content, log_id: bytes, fields: list[bytes]) -> None:
        if _is_former():
            content.logged.append((log_id, b"", b""))  # it means nothing, and is dropped later
        else:
            read_packed(content, log_id, fields)

    def show_life_only(self: Any, pipe: Any, now: float, lives_until: float) -> None:
        if _is_former():
            pipe.zadd(self._pods_key, {self._instance: lives_until})
        else:
            show(self, pipe, now, lives_until)

    async def ask_nothing(self: LogState, lease_id: str, *, is_wanted: bool) -> Packing:
        if _is_former():
            return Packing.REFUSED
        return await permit(self, lease_id, is_wanted=is_wanted)

    def look_without_mark(self: Any, redis: Any, *rest: Any) -> None:
        begin_state(self, redis, *rest)
        if _is_former():
            self._look = redis.register_script(_LOOK)
            self._replace = redis.register_script(_REPLACE)

    def trim_without_mark(self: Any, *parts: Any) -> None:
        begin_appender(self, *parts)
        if _is_former():
            self._trim_words = ("EVALSHA", appender._digest(_TRIM), *self._trim_words[2:])
            self._send(["SCRIPT", "LOAD", _TRIM], appender._ignore)

    replaced: dict[tuple[Any, str], tuple[Any, Any]] = {
        (layout, "_read_packed"): (read_packed, pass_over),
        (Presence, "_show"): (show, show_life_only),
        (LogState, "permit_packing"): (permit, ask_nothing),
        (state.LogState, "__init__"): (begin_state, look_without_mark),
        (Appender, "__init__"): (begin_appender, trim_without_mark),
    }
    try:
        for key, (_, new) in replaced.items():
            setattr(*key, new)
        yield
    finally:
        for key, (old, _) in replaced.items():
            setattr(*key, old)
