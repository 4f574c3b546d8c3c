"""Why a service's request is not carried out. How that is answered is known to each port."""

from __future__ import annotations


class RequestRefused(Exception):
    """The request is at fault, or cannot be carried out now: answered, never logged.

    `code` is a stable word for programs, `message` a sentence for people.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message
