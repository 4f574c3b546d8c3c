"""The gateway as it is, with a hundredth of its traces recorded and sent to a collector.

The collector takes everything and looks at nothing. It is a process of its own, whose CPU is not
the gateway's, on the cores of the load generator; it ends with the gateway.
"""

import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class _Collector(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Take one export."""
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing: the gateway's log is where this would go."""


def collect() -> None:
    """Tell the port, and take exports until whoever started this is gone."""
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Collector)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()


def main() -> None:
    """`constellation-ws serve` in this process, beside a collector."""
    collector = subprocess.Popen(
        (sys.executable, __file__, "collect"), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert collector.stdin is not None
    assert collector.stdout is not None
    os.environ |= {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{int(collector.stdout.readline())}",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.01",
    }
    os.set_inheritable(collector.stdin.fileno(), True)  # its end says that the gateway is gone
    os.execv(sys.executable, (sys.executable, "-m", "constellation_ws", "serve"))


if __name__ == "__main__":
    collect() if sys.argv[1:] == ["collect"] else main()
