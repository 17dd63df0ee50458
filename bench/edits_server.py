"""An application for `bench.edits`: answers HTTP with its version on two ports, and TCP with its version on a third.

Standard library only. Of the HTTP ports the second one is declared by nobody.
"""

from __future__ import annotations

import http.server
import os
import socketserver
import threading

SECOND, TCP = 9500, 9600
VERSION = os.environ.get("VERSION", "v1")


class Answer(http.server.BaseHTTPRequestHandler):
    """The version, whatever is asked."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer is one write, or it waits for its own acknowledgement

    def do_GET(self) -> None:
        """Answers."""
        body = VERSION.encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class Say(socketserver.BaseRequestHandler):
    """Says its version to whatever comes, until the caller ends."""

    def handle(self) -> None:
        """One connection."""
        while self.request.recv(65536):
            self.request.sendall(VERSION.encode())


class Server(socketserver.ThreadingTCPServer):
    """Whose threads keep nobody from ending."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


def main() -> None:
    """Serves until killed."""
    bind = os.environ["BIND"]
    served = [((bind, port), Answer) for port in (int(os.environ["PORT"]), SECOND)]
    servers = [Server(address, handler) for address, handler in (*served, ((bind, TCP), Say))]
    threads = [threading.Thread(target=server.serve_forever) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
