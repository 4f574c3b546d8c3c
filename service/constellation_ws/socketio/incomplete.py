"""A Socket.IO packet whose attachments are still to come."""

from __future__ import annotations

from typing import Any

from constellation_ws.socketio.packets import Head, fill


class Incomplete:
    """Collects attachments, or merely counts them where the packet was refused."""

    __slots__ = ("_attachments", "_data", "_left", "head", "is_refused", "size")

    def __init__(self, head: Head, data: Any, size: int, *, is_refused: bool) -> None:
        """`size` is what the text has in bytes; attachments add to it."""
        self.head = head
        self.size = size
        self.is_refused = is_refused
        self._data = data
        self._attachments: list[bytes] = []
        self._left = head.attachments

    def refuse(self) -> None:
        """Let go of what there is; the attachments that are announced are still to come."""
        self.is_refused = True
        self._data, self._attachments = None, []

    def take(self, attachment: bytes) -> bool:
        """Take the next attachment and say whether it was the last."""
        self._left -= 1
        if not self.is_refused:
            self.size += len(attachment)
            self._attachments.append(attachment)
        return not self._left

    def filled(self) -> Any:
        """Give the payload with the attachments in their places, once these are all there."""
        return fill(self._data, self._attachments)
