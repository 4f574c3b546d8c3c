"""What one of each thing costs: measured, and rounded.

Measured on two cores of an AMD EPYC (a virtual machine that had other work), with Python 3.11.7,
Linux 6.18 and Valkey 9.1, events of 300 bytes. Pods shared one core; Valkey and the load generator
had the other one. CPU time is user and system time of a process, from `/proc/<pid>/stat`.

- Costs of batches, events and deliveries: one, two, three, five and six pods at even rates from 200
  to 8,000 events a second, as `python -m benchmarks.scale` does it, and `python -m benchmarks
  --quick --workloads dropped,unicast,unicast-paced,fanout-1,recipients-100`. How many batches there
  were: the calls of `EVALSHA` in `INFO commandstats`.
- What only listeners do: three pods at 600 and 3,000 events a second, all of them listeners or one.
- What a further partition costs: three pods on three primaries, one partition or three, at 10 to
  20,000 events a second, as `python -m benchmarks.partitions` does it.
- Connections: 8,000 that stayed idle for 25 seconds. Connects in `live`: `--workloads storm` and
  `idle-10000`. Reconnects in `durable`: 600 clients that resumed on another pod, with one missed
  event each.
- The log's bytes: `used_memory` of Valkey around 20,000 entries.

A single figure differed by up to 40 % from run to run. A processor that runs at full speed and is
not shared needs less. Replace them with your own figures by measuring on your machines.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UnitCosts:
    """What one of each costs: `_us` are microseconds of CPU time, `_bytes` bytes."""

    most_batches: float
    """Batches a second, at most: above it a batch has more events, and there are not more batches.
    `durable`: the recorder's appends; it gathers for 1 ms, and an append took 1.2 ms. `live`: the
    messages that a pod finds in Redis' connection when it wakes up."""
    recorder_batch_us: float
    """To receive the events of a batch from Pub/Sub, append them and read the reply."""
    pod_batch_us: float
    """To be woken for a batch, read it and wait for the next one, on a listener."""
    listen_batch_us: float
    """Of that, to receive the events from Pub/Sub: other pods do not."""
    partition_batch_us: float
    """For a batch and each further partition of the log: to be woken by several streams."""
    event_us: float
    """To decode an event and find its recipients, on a listener that has none of them."""
    listen_event_us: float
    """Of that, to receive the event from Pub/Sub: other pods do not."""
    event_kib_us: float
    """For each KiB of an event, on every pod."""
    local_batch_us: float
    """For a batch with a recipient on this pod, beside its deliveries."""
    first_delivery_us: float
    """To encode an event for clients and write it to the first of them."""
    further_delivery_us: float
    """To write it to each further one."""
    pod_second_us: float
    """Of a pod without clients and events, each second: leases, ticks, timers."""
    connection_second_us: float
    """Of an idle connection, each second: pings, and renewing its session."""
    reconnect_us: float
    """Of a client that reconnects: handshake, session, rooms, and what it missed."""

    redis_batch_us: float
    """Of Redis for a batch, whatever the number of pods."""
    redis_batch_pod_us: float
    """Of Redis for a batch and each listener that reads it."""
    redis_batch_listen_us: float
    """Of that, to send its events to a listener: other pods only read the log."""
    redis_event_us: float
    """Of Redis for an event: its own `PUBLISH`, and in `durable` its place in the log."""
    redis_event_pod_us: float
    """Of Redis for an event and each pod that receives it."""
    redis_event_kib_us: float
    """For each KiB of an event, of Redis."""
    redis_pod_second_us: float
    """Of Redis for a pod without clients and events, each second."""
    redis_connection_second_us: float
    """Of Redis for an idle connection, each second."""
    redis_reconnect_us: float
    """Of Redis for a client that reconnects."""

    copies_to_listener: int
    """How often an event reaches a listener: by Pub/Sub, and by the log. Other pods get it once."""
    is_logged: bool
    """Whether there is a log, and a record of each session in Redis."""
    connection_bytes: int
    """Of the pod's memory for an idle connection in its user's room and two chats."""
    session_bytes: int
    """Of Redis' memory for a session: its record, and presence."""


DURABLE = UnitCosts(
    most_batches=450,
    recorder_batch_us=320,
    pod_batch_us=240,
    listen_batch_us=30,
    partition_batch_us=65,
    event_us=8,
    listen_event_us=4,
    event_kib_us=5,
    local_batch_us=50,
    first_delivery_us=15,
    further_delivery_us=8,
    pod_second_us=8_000,
    connection_second_us=2,
    reconnect_us=1_030,
    redis_batch_us=180,
    redis_batch_pod_us=45,
    redis_batch_listen_us=15,
    redis_event_us=15,
    redis_event_pod_us=4,
    redis_event_kib_us=3,
    redis_pod_second_us=1_700,
    redis_connection_second_us=0.3,
    redis_reconnect_us=150,
    copies_to_listener=2,
    is_logged=True,
    connection_bytes=4_200,
    session_bytes=640,
)
"""Delivery through the log."""

LIVE = UnitCosts(
    most_batches=1_000,
    recorder_batch_us=70,
    pod_batch_us=70,
    listen_batch_us=0,  # here and below: all pods are the same
    partition_batch_us=0,
    event_us=4,
    listen_event_us=0,
    event_kib_us=2.5,  # half of durable's, whose pods receive an event twice; not measured
    local_batch_us=50,
    first_delivery_us=15,
    further_delivery_us=8,
    pod_second_us=8_000,
    connection_second_us=1,
    reconnect_us=350,
    redis_batch_us=35,
    redis_batch_pod_us=10,
    redis_batch_listen_us=0,
    redis_event_us=8,
    redis_event_pod_us=3,
    redis_event_kib_us=1.5,  # half of durable's; not measured
    redis_pod_second_us=1_000,
    redis_connection_second_us=0,
    redis_reconnect_us=2,
    copies_to_listener=1,
    is_logged=False,
    connection_bytes=3_800,
    session_bytes=80,
)
"""Delivery from Pub/Sub to the sockets."""

OF_MODE = {"durable": DURABLE, "live": LIVE}

PACKET_BYTES = 60
"""What an event has besides its JSON on the way from Redis (protocol, channel, ID), and on the way
to a client (WebSocket, Socket.IO, event name). Headers of TCP and TLS come on top."""
ENTRY_BYTES = 80
"""What an event has besides its JSON in the log: measured 73 with 300 bytes, 136 with 4,000."""
RECENT_EVENT_BYTES = 100
"""What an event has besides its JSON among the recent events of a pod: ID, channel, index."""
MOST_RECENT_BYTES = 64 << 20
"""What recent events take of a pod's memory at most, for clients that resume."""
POD_BYTES = 100 << 20
"""A pod without clients: 70 MiB of its own, and its part of what is shared."""
REDIS_BYTES = 2 << 20
"""A Redis without data: 1.7 MiB."""
BACKOFF_SECONDS = 1.5
"""The longest first delay of `socket.io-client`: `reconnectionDelay`, randomised by a half."""
