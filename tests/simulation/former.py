"""The release before packed entries, as far as it does something else than this one.

It passes over packed entries in silence, does not say that it can read them, and takes a log that
is marked for a damaged one. It always receives events from Pub/Sub, and knows no seats. It is this
release with those parts replaced, on hosts that are `is_former`.
"""

from __future__ import annotations

from asyncio import events
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from constellation_ws.chats.life_signs import LifeSigns
from constellation_ws.log import append_scripts, appender, layout, scripts, state
from constellation_ws.log.appender import Appender
from constellation_ws.log.seats import NO_CLAIM, Claim
from constellation_ws.log.state import LeaseReply, LogState, Packing
from constellation_ws.recording.seat import PodSeat
from constellation_ws.redis_io.script_calls import digest_of
from tests.simulation.hosts import Host

_MARK = "local count = kept[1] == 'packed 1' and kept[4] or kept[1]"
_RETURN = "if next_late ~= late and would_miss(next_late) then"
_FORGOTTEN = "redis.call('HDEL', KEYS[2], 'gone', 'packing', 'packs', 'packed')"


def _without(script: str, what: str, instead: str) -> str:
    assert what in script, "the script has changed"
    return script.replace(what, instead)


_LOOK = _without(scripts.LOOK, _MARK, "local count = kept[1]")
_TRIM = _without(append_scripts.TRIM, _MARK, "local count = kept[1]")
_REQUEST_LEASE = _without(scripts.REQUEST_LEASE, _RETURN, "if false then")
_REPLACE = _without(scripts.REPLACE, _FORGOTTEN, "")


def _is_former() -> bool:
    host = events._get_running_loop()
    return isinstance(host, Host) and host.is_former


@contextmanager
def former_release() -> Iterator[None]:
    """Let what runs on a host of that release do what that release does."""
    read_packed, show, permit = layout._read_packed, LifeSigns.show, LogState.permit_packing
    begin_state, begin_appender = LogState.__init__, Appender.__init__
    claim, note = PodSeat.claim, PodSeat.note
    hand_over, give_up = PodSeat.hand_over, PodSeat.give_up

    def pass_over(content: layout.Content, log_id: bytes, fields: list[bytes]) -> None:
        if _is_former():
            content.logged.append((log_id, b"", b""))  # it means nothing, and is dropped later
        else:
            read_packed(content, log_id, fields)

    def show_life_only(self: Any, pipe: Any, now: float, lives_until: float) -> None:
        if _is_former():
            pipe.zadd(self._names.pods, {self._instance: lives_until})
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
            self._request_lease = redis.register_script(_REQUEST_LEASE)
            self._replace = redis.register_script(_REPLACE)

    def trim_without_mark(self: Any, *parts: Any) -> None:
        begin_appender(self, *parts)
        if _is_former():
            self._trim_words = ("EVALSHA", digest_of(_TRIM), *self._trim_words[2:])
            self._send(["SCRIPT", "LOAD", _TRIM], appender._ignore)

    def claim_nothing(self: PodSeat, *, may_stop: bool) -> Claim:
        return NO_CLAIM if _is_former() else claim(self, may_stop=may_stop)

    def note_nothing(self: PodSeat, reply: LeaseReply) -> None:
        if not _is_former():
            note(self, reply)

    async def leave_at_once(self: PodSeat, ask_now: Callable[[], None]) -> bool:
        return False if _is_former() else await hand_over(self, ask_now)

    async def give_nothing_up(self: PodSeat) -> None:
        if not _is_former():
            await give_up(self)

    replaced: dict[tuple[Any, str], tuple[Any, Any]] = {
        (layout, "_read_packed"): (read_packed, pass_over),
        (LifeSigns, "show"): (show, show_life_only),
        (LogState, "permit_packing"): (permit, ask_nothing),
        (state.LogState, "__init__"): (begin_state, look_without_mark),
        (Appender, "__init__"): (begin_appender, trim_without_mark),
        (PodSeat, "claim"): (claim, claim_nothing),
        (PodSeat, "note"): (note, note_nothing),
        (PodSeat, "hand_over"): (hand_over, leave_at_once),
        (PodSeat, "give_up"): (give_up, give_nothing_up),
    }
    try:
        for key, (_, new) in replaced.items():
            setattr(*key, new)
        yield
    finally:
        for key, (old, _) in replaced.items():
            setattr(*key, old)
