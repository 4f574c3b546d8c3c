"""Why a service's request is not executed. How that is answered is known to each port."""

from __future__ import annotations


class RequestRefused(Exception):
    """The request is at fault, or cannot be executed now: answered, never logged.

    `code` is a stable word for programs, `message` a sentence for people.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class PartlyPublished(RequestRefused):
    """Redis accepted some of the events of one request, and was away for the others."""

    def __init__(self, accepted: list[bool]) -> None:
        """`accepted` says of each event, in their order, whether it was published for certain."""
        sentence = (
            f"{sum(accepted)} of {len(accepted)} events were published; publish again those whose "
            "place in `accepted` is false, or send an Idempotency-Key to publish all or none"
        )
        RequestRefused.__init__(self, "partly_published", sentence)
        self.accepted = accepted
