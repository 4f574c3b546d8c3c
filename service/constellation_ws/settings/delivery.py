"""Settings of the way from Redis to clients: routes, the log, and which clients can resume."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from constellation_ws.settings.kinds import Count, ReadableFile
from constellation_ws.settings.part import Part


class DeliverySettings(Part):
    """How events are delivered, and for how long a client can resume."""

    interface_file: ReadableFile = Field(
        None,
        description="TOML file with the whole interface: namespaces, what clients may send, and "
        "what is published (docs/interface.md). Empty means the gateway's own, of `/chats`.",
    )
    routes_file: ReadableFile = Field(
        None,
        description="TOML file with additional channels: `[[route]]` entries that are added to "
        "the interface.",
    )
    mode: Literal["durable", "live"] = Field(
        "durable",
        validation_alias="CONSTELLATION_DELIVERY",
        description="`durable` stores events in a Redis stream, so that clients can resume; "
        "`live` delivers them from Pub/Sub directly to the sockets.",
    )
    recovery: Literal["auto", "always", "off"] = Field(
        "auto",
        description="Which clients receive the offset as the last argument of each event: `auto` "
        "those that request it or have resumed, `always` all, `off` none: no client can resume.",
    )
    recovery_window_seconds: Annotated[float, Field(ge=5, le=86_400)] = Field(
        120,
        description="Seconds for which events stay in the log, and sessions stay resumable after a "
        "disconnect; at least the ping interval plus the ping timeout.",
    )
    log_max_entries: Count = Field(
        1_000_000,
        description="Maximum number of events in the log, whatever their age.",
    )
    log_packing: Literal["auto", "off"] = Field(
        "auto",
        description="`auto` stores events that are appended together as one entry of the stream, "
        "while all pods run a release that can read it; `off` stores each event as an entry. Set "
        "`off` before you go back to a release without this setting.",
    )
    log_listeners: Count = Field(
        3,
        description="Maximum number of pods that receive events from Pub/Sub, as the recorder or "
        "to replace it; the others receive events from the log alone. If all of them are killed "
        "at once, all clients get new sessions.",
    )
    log_partitions: Annotated[int, Field(ge=1, le=64)] = Field(
        1,
        description="Number of streams, the partitions of the log, among which `durable` divides "
        "events by chat: one per primary of a Redis Cluster, or a multiple of that. More are used "
        "once all pods have the setting; fewer only after the log was emptied. Above 1 all pods "
        "receive events from Pub/Sub.",
    )
    max_replay_events: Count = Field(
        1_000,
        description="Maximum number of events that one resume replays; a client that missed more "
        "is not recovered.",
    )
    ping_interval_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        25,
        description="Seconds between Engine.IO pings.",
    )
    ping_timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        20,
        description="Seconds in which a client must answer a ping.",
    )

    def partitions(self) -> int:
        """Give how many partitions of the log a pod follows; live delivery has one log."""
        return self.log_partitions if self.mode == "durable" else 1

    def without_effect(self) -> Iterator[str]:
        """Say in a line each which of these settings are set and change nothing."""
        if "log_listeners" in self.model_fields_set and self.partitions() > 1:
            yield (
                "CONSTELLATION_LOG_LISTENERS has no effect: with CONSTELLATION_LOG_PARTITIONS "
                "above 1 all pods receive events from Pub/Sub"
            )

    def faults(self) -> Iterator[str]:
        """Say in a line each which of these settings contradict one another."""
        if self.mode == "live":
            if self.recovery == "always":
                yield (
                    "CONSTELLATION_RECOVERY=always needs CONSTELLATION_DELIVERY=durable: "
                    "with live there is no log from which a client could resume"
                )
            return
        silent_seconds = self.ping_interval_seconds + self.ping_timeout_seconds
        if self.recovery != "off" and self.recovery_window_seconds < silent_seconds:
            yield (
                f"CONSTELLATION_RECOVERY_WINDOW_SECONDS is '{self.recovery_window_seconds:g}'; "
                f"it must be {silent_seconds:g} or more: CONSTELLATION_PING_INTERVAL_SECONDS plus "
                "CONSTELLATION_PING_TIMEOUT_SECONDS, the time in which a client notices that its "
                "connection is dead"
            )
