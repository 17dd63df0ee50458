"""An application that answers HTTP on its declared port and on one more, and echoes TCP on a third."""

from __future__ import annotations

import http.server
import os
import socketserver
import threading

UNDECLARED, ECHO = 9500, 9600


class Answer(http.server.BaseHTTPRequestHandler):
    """Names the port, the host that was called, and how the caller showed itself."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer is one write, or it waits for its own acknowledgement

    def do_GET(self) -> None:
        """Answers."""
        words = (
            str(self.connection.getsockname()[1]),
            self.headers["host"],
            self.headers.get("x-forwarded-client-cert", ""),
        )
        body = " ".join(words).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class Echo(socketserver.BaseRequestHandler):
    """Sends back what comes."""

    def handle(self) -> None:
        """Until the caller ends."""
        while data := self.request.recv(65536):
            self.request.sendall(data)


class EchoServer(socketserver.ThreadingTCPServer):
    """Whose threads keep nobody from ending."""

    allow_reuse_address = True
    daemon_threads = True


def main() -> None:
    """Serves until killed."""
    bind = os.environ["BIND"]
    servers = [http.server.ThreadingHTTPServer((bind, port), Answer) for port in (int(os.environ["PORT"]), UNDECLARED)]
    servers.append(EchoServer((bind, ECHO), Echo))  # type: ignore[arg-type]
    threads = [threading.Thread(target=server.serve_forever) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
