"""Serves the page on this machine; it is one static file, so that nothing is computed here."""

from __future__ import annotations

import errno
import socket
import sys
import webbrowser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from metabolism.errors import OutputError
from metabolism.explorer.build import page


class _Handler(BaseHTTPRequestHandler):
    """Answers one address, and only to a browser that asks for this host by its own name, and for no foreign page."""

    hosts: frozenset[str] = frozenset()
    content = b""
    #: One that says nothing for so long [s] is let go.
    timeout = 30

    def do_GET(self) -> None:
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        if self.hosts and host.rsplit(":", 1)[0].lower() not in self.hosts:
            # a foreign name that leads here (DNS rebinding)
            self.send_error(421, "Misdirected Request")
        elif origin not in (None, f"http://{host}"):
            self.send_error(403, "Asked for by a page from elsewhere")
        elif self.path.partition("?")[0] != "/":
            self.send_error(404, "Not Found")
        else:
            self.send_response(200)
            for name, value in (
                ("Content-Type", "text/html; charset=utf-8"),
                ("Content-Length", str(len(self.content))),
                ("Referrer-Policy", "no-referrer"),
                ("X-Content-Type-Options", "nosniff"),
                ("X-Frame-Options", "SAMEORIGIN"),
                ("Cache-Control", "no-cache"),
            ):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(self.content)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


class _Server(ThreadingHTTPServer):
    """Goes on when a reader is gone before the page has arrived."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def exposure_warning(host: str) -> str:
    """Return what to tell a user who lets other machines reach the page; empty for this machine alone."""
    if host in ("127.0.0.1", "::1", "localhost"):
        return ""
    return (
        f"warning: on {host} anyone who can reach this computer can open the page. It holds nothing but the model, "
        "and computes in the reader's browser. Leave out --host to keep it to yourself."
    )


def serve(host: str, port: int, *, show: bool = True) -> None:
    """Serve the page until interrupted.

    Parameters
    ----------
    host : str
    port : int
        0 for any free one.
    show : bool
        Open the browser.

    Raises
    ------
    OutputError
        If the address cannot be used.
    """
    local = not exposure_warning(host)
    handler = type(
        "Handler",
        (_Handler,),
        {
            "content": page().encode(),
            "hosts": frozenset({"127.0.0.1", "localhost", "[::1]"}) if local else frozenset(),
        },
    )
    server_type = type("Server", (_Server,), {"address_family": socket.AF_INET6 if ":" in host else socket.AF_INET})
    try:
        server = server_type((host, port), handler)
    except (OSError, TypeError, UnicodeError) as error:
        # a port that is taken or not allowed, or else an address that is not of this machine
        busy = isinstance(error, OSError) and error.errno in (errno.EADDRINUSE, errno.EACCES)
        reason, other = getattr(error, "strerror", None) or "no address", "--port" if busy else "--host"
        raise OutputError(f"cannot listen on {host}:{port}: {reason}; choose another with {other}.") from None
    name = f"[{host}]" if ":" in host else host
    address = f"http://{name}:{server.server_address[1]}/"
    print(f"explorer: {address}  (stop with Ctrl-C)", flush=True)
    if show:
        webbrowser.open(address)
    with server:
        server.serve_forever()
