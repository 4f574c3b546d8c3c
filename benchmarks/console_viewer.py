"""`python -m benchmarks.console_viewer PORT KEY`: what open pages of the console request.

Three tabs at once, each at the pages' own rate: the overview, a live tail of events, and a user.
In a fourth somebody pages and searches, every five seconds. A process of its own, so that it does
not share an interpreter with what measures. It goes on until stdin ends, and then prints a
`Viewing` as JSON.
"""

from __future__ import annotations

import http.client
import os
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping

import msgspec

TIMEOUT_SECONDS = 10.0


class Answers(msgspec.Struct, frozen=True):
    """How one request was answered, again and again."""

    milliseconds: list[float]
    bytes: list[int]


Viewing = dict[str, Answers]
"""By the request's name."""
Query = Mapping[str, str | int]


class ConsoleApi:
    """One connection to the console's JSON API, as a browser keeps it."""

    def __init__(self, port: int, key: str) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
        self._headers = {"Authorization": f"Bearer {key}", "X-Constellation-Console": "1"}

    def get(self, path: str, query: Query) -> bytes:
        """Return the body of an answer; raises OSError where there is none or it is a refusal."""
        given = urllib.parse.urlencode({name: value for name, value in query.items() if value})
        self._http.request("GET", f"/console/api/{path}?{given}", headers=self._headers)
        response = self._http.getresponse()
        body = response.read()
        if response.status != http.client.OK:
            raise OSError(f"{path}: {response.status} {body.decode(errors='replace')}")
        return body


class Request:
    """One request of a page, repeated. Its answer may decide what is asked next."""

    def __init__(self, path: str, query: Query, follows: str = "") -> None:
        """`follows` names the field of an answer that is sent with the next request."""
        self._path = path
        self._query = dict(query)
        self._follows = follows
        self._milliseconds: list[float] = []
        self._bytes: list[int] = []

    def send(self, api: ConsoleApi) -> None:
        """Send it once; raises OSError."""
        began = time.perf_counter()
        body = api.get(self._path, self._query)
        self._milliseconds.append((time.perf_counter() - began) * 1_000)
        self._bytes.append(len(body))
        if self._follows:
            self._query[self._follows] = msgspec.json.decode(body).get(self._follows, "")

    @property
    def answers(self) -> Answers:
        """How it was answered."""
        return Answers(self._milliseconds, self._bytes)


def requests() -> dict[str, tuple[float, Request]]:
    """Every request, and so many seconds after its answer it is sent again: as in the assets."""
    searched: Query = {"prefix": "u12", "limit": 50}
    return {
        "pods": (2, Request("pods", {})),
        "history": (15, Request("history", {})),
        "tail": (1, Request("tail", {"viewer": "benchmark-viewer"}, follows="cursor")),
        "user": (3, Request("users/u1", {})),
        "users, page after page": (5, Request("users", {"limit": 50}, follows="cursor")),
        "users, search": (5, Request("users", searched)),
        "rooms": (5, Request("rooms", {"limit": 100})),
        "rooms, search": (5, Request("rooms", {"prefix": "chat:c", "limit": 100})),
        "room": (5, Request("rooms/chat:c1", {"limit": 50}, follows="cursor")),
    }


def _repeat(is_over: threading.Event, seconds: float, send: Callable[[], None]) -> None:
    while True:
        send()
        if is_over.wait(seconds):
            return


def give_way() -> None:
    """Leave the CPU to Valkey and the load generator, from which no browser takes it elsewhere."""
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    os.nice(19)


def main(port: int, key: str) -> int:
    """View until stdin ends; 1 if a request was refused or not answered."""
    give_way()
    is_over, faults = threading.Event(), list[str]()
    sent = requests()

    def view(seconds: float, request: Request) -> None:
        api = ConsoleApi(port, key)
        try:
            _repeat(is_over, seconds, lambda: request.send(api))
        except (OSError, http.client.HTTPException) as error:
            faults.append(str(error))

    threads = [threading.Thread(target=view, args=one) for one in sent.values()]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    is_over.set()
    for thread in threads:
        thread.join()
    answers = {name: request.answers for name, (_, request) in sent.items()}
    print(msgspec.json.encode(answers).decode())
    print("\n".join(faults), file=sys.stderr, end="")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2]))
