"""The server of the home page: bound to this machine, ended by Ctrl-C."""

import errno
import socket
from collections.abc import Callable
from typing import Any

from conf.errors import FeaturemillError
from conf.runtime import Runtime

ADDRESS = "127.0.0.1"


class PortTaken(FeaturemillError):
    """The port of the home page cannot be had."""


def listen(port: int) -> socket.socket:
    """Return a socket that listens on `port` of the loopback; 0 takes a free one."""
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((ADDRESS, port))
        found.listen(128)  # so that whoever is told the address can ask at once
    except OSError as problem:
        found.close()
        why = "is taken" if problem.errno == errno.EADDRINUSE else f"cannot be had: {problem}"
        raise PortTaken(
            f"Port {port} of {ADDRESS} {why}. Perhaps the home page runs already: open "
            f"http://{ADDRESS}:{port}. Or take a free port: featuremill serve --port 0."
        ) from problem
    return found


def serve(runtime: Runtime, port: int, told: Callable[[str], Any]) -> None:
    """Serve the store of `runtime` until Ctrl-C; `told` is given the address before."""
    import uvicorn

    from flows.web.app import create_app
    from flows.web.guard import Guard

    app = create_app(runtime)
    with listen(port) as listening:
        port = listening.getsockname()[1]
        settings = uvicorn.Config(
            Guard(app, port),
            access_log=False,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=2,
            ws="none",
        )
        told(f"http://{ADDRESS}:{port}")
        try:
            uvicorn.Server(settings).run(sockets=[listening])
        except KeyboardInterrupt:  # uvicorn raises it again when it has ended
            return
