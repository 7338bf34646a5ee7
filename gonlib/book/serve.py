"""The finished book on http://localhost, for browsers that do not like files."""

import functools
import http.server
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import UserError


class Handler(http.server.SimpleHTTPRequestHandler):
    """Gives out files without a word about each."""

    def log_message(self, *args: object) -> None:
        """Say nothing."""


class Server(http.server.ThreadingHTTPServer):
    """Says nothing of a browser that has gone away in the middle of a file."""

    def handle_error(self, request: Any, address: Any) -> None:
        """Say what went wrong with a request, as Python does, unless it is only that."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, address)


@contextmanager
def reserved(port: str | None) -> Iterator[http.server.ThreadingHTTPServer | None]:
    """A server that has the port, before any work is done for it; None without a port.

    Raises:
        UserError: If the port is no number from 1 to 65535, or taken.
    """
    if port is None:
        yield None
        return
    if not (port.isascii() and port.isdecimal()) or not 1 <= int(port) <= 65535:
        raise UserError(f"a port is a number from 1 to 65535, not {port[:40]!r}.")
    try:
        server = Server(("127.0.0.1", int(port)), Handler)
    except OSError as fault:
        raise UserError(f"port {port} cannot be had ({fault.strerror}); choose another: make serve PORT=8001.") from fault
    with server:
        yield server


def until_stopped(server: http.server.ThreadingHTTPServer, folder: Path) -> None:
    """Show a folder until Ctrl-C."""
    server.RequestHandlerClass = functools.partial(Handler, directory=str(folder))
    print(f"The book is at http://localhost:{server.server_port} until you press Ctrl-C.", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print()
