"""Who may ask, and what a browser may do with the answer: checked before any route is reached.

A page of the network that a browser on this machine has open can send requests to 127.0.0.1, also
under a name of its own that it lets lead here (DNS rebinding). So the Host header must be ours, the
method must change nothing, and no answer may be read or framed by another origin.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

PAGE_POLICY = (
    "default-src 'none'; img-src 'self'; style-src 'self'; frame-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
REPORT_POLICY = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; img-src data: blob:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline' 'unsafe-eval'; worker-src blob:; "
    "font-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)
"""Of pages that artifacts hold: in an origin of their own, from which nothing can be loaded. Each
has a stricter policy of its own in it."""
FILE_POLICY = "sandbox; default-src 'none'; frame-ancestors 'none'"

_HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"permissions-policy": b"camera=(), microphone=(), geolocation=()",
}


class Guard:
    """Lets through reads that name this server, and tells browsers to keep the answers apart."""

    def __init__(self, app: App, port: int) -> None:
        self._app = app
        names = ("127.0.0.1", "localhost", "[::1]")
        self._hosts = {f"{name}:{port}" for name in names} | ({*names} if port == 80 else set())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on to the application."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] != "http":  # a websocket: there is none
            await send({"type": "websocket.close", "code": 1008})
        elif problem := self._problem(scope):
            await _refuse(send, *problem)
        else:
            await self._app(scope, receive, _adding_headers(send))

    def _problem(self, scope: Scope) -> tuple[int, str] | None:
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            told = ", ".join(map(repr, hosts)) or "nobody"
            known = ", ".join(sorted(self._hosts))
            return 421, f"The request is for {told}. This server is {known}, and no one else."
        if scope["method"] not in {"GET", "HEAD"}:
            return 405, f"{scope['method']} is not possible: this server only reads."
        return None


async def _refuse(send: Send, status: int, words: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *_HEADERS.items()]
    headers += [(b"allow", b"GET, HEAD")] if status == 405 else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": f"{words}\n".encode(errors="replace")})


def _adding_headers(send: Send) -> Send:
    async def adding(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            told = list(message["headers"])
            names = {name.lower() for name, _ in told}
            told += [pair for pair in _HEADERS.items() if pair[0] not in names]
            if b"content-security-policy" not in names:
                told.append((b"content-security-policy", PAGE_POLICY.encode()))
            if b"cache-control" not in names:
                told.append((b"cache-control", b"no-store"))
            message = {**message, "headers": told}
        await send(message)

    return adding
