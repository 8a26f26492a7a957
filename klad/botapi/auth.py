"""Who may speak to this server: a browser or client on this very machine, and for the chat, its owner.

Host and Origin are checked on every request, because any web page may send requests to loopback
(and, by DNS rebinding, read the answers too). The owner comes by a one-time link, after which a
cookie stands for them. A browser sends cookies to every port of a host alike, so the cookie's
name holds the port: two tenants on one machine would otherwise log each other out.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
from collections.abc import Awaitable, Callable
from functools import wraps

from aiohttp import hdrs, web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

LINK_LIFE = 3600.0
"""Seconds in which a printed link works."""

LINKS = 8
"""Printed and not yet used; the oldest goes first."""

SESSION_LIFE = 180 * 86400.0
"""Seconds."""

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""On every answer."""

_HOST = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::([0-9]{1,5}))?\Z", re.IGNORECASE)


def host_is_ours(host: str, port: int) -> bool:
    """Host (RFC 9110 §7.2) names loopback, with the port that is served."""
    match = _HOST.match(host)
    return match is not None and int(match[1] or 80) == port


def origin_is_ours(origin: str, host: str) -> bool:
    """Origin (RFC 6454) is the very place that Host names; "null" and https are not."""
    return origin.lower() == f"http://{host.lower()}"


def refusal(request: web.Request) -> str | None:
    """Why this request is refused with 403, or None."""
    socket = request.transport.get_extra_info("sockname") if request.transport else None
    if not isinstance(socket, tuple) or not ipaddress.ip_address(socket[0]).is_loopback:
        return "This server answers on loopback only."
    hosts = request.headers.getall(hdrs.HOST, [])
    if len(hosts) != 1 or not host_is_ours(hosts[0], socket[1]):
        return "The Host header is not this server's."
    if any(not origin_is_ours(origin, hosts[0]) for origin in request.headers.getall(hdrs.ORIGIN, [])):
        return "Requests from other origins are refused."
    return None


def guarded(handler: Handler) -> Handler:
    """`handler` behind the checks of `refusal`, with HEADERS on what it answers."""

    @wraps(handler)
    async def inner(request: web.Request) -> web.StreamResponse:
        words = refusal(request)
        response: web.StreamResponse
        if words is None:
            try:
                response = await handler(request)
            except web.HTTPException as error:  # the router's own 404 and 405
                error.headers.update(HEADERS)
                raise
        elif request.path.startswith("/bot"):
            answer = {"ok": False, "error_code": 403, "description": f"Forbidden: {words}"}
            response = web.json_response(answer, status=403)
        else:
            response = web.json_response({"error": words}, status=403)
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    return inner


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The same for the other pages of an application that this server is part of."""
    return await guarded(handler)(request)


class Links:
    """One-time login codes, in memory: a restart voids those that were printed before."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._open: list[tuple[bytes, float]] = []

    def mint(self) -> str:
        """A new code of 192 random bits."""
        code = secrets.token_urlsafe(24)
        self._open = [*self._open[-(LINKS - 1) :], (_digest(code), self._clock() + LINK_LIFE)]
        return code

    def redeem(self, code: str) -> bool:
        """True once for each code that is neither used nor expired."""
        digest, now = _digest(code), self._clock()
        # Every open code is compared in full, so that time says nothing of any.
        matches = [hmac.compare_digest(digest, known) for known, _ in self._open]
        fresh = any(hit and expires > now for hit, (_, expires) in zip(matches, self._open, strict=True))
        self._open = [entry for hit, entry in zip(matches, self._open, strict=True) if not hit]
        return fresh


def _digest(code: str) -> bytes:
    return hashlib.sha256(code.encode("utf-8", "replace")).digest()


def new_session() -> str:
    """The cookie's value."""
    return secrets.token_urlsafe(32)


def session_digest(value: str) -> str:
    """What is stored of it: whoever reads the database can't log in with that."""
    return hashlib.sha256(value.encode("utf-8", "replace")).hexdigest()


def cookie_name(request: web.Request) -> str:
    return f"klad_{request.transport.get_extra_info('sockname')[1] if request.transport else 0}"
