"""Answers other than success, in the one shape that agents and Messages API clients both read."""

from __future__ import annotations

import math

from aiohttp import web

_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    410: "gone_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


class Refusal(Exception):
    """A request that is not carried out; becomes `{"type":"error","error":{"type":…,"message":…}}`.

    The types are those of the Messages API ("Errors"), and two of our own: `gone_error` (the run is
    over) and `conflict_error` (what is mounted is not what was checked).
    """

    def __init__(self, status: int, message: str, *, kind: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind or _KINDS.get(status) or ("invalid_request_error" if status < 500 else "api_error")
        self.retry_after = retry_after
        """Seconds."""

    def body(self) -> dict[str, object]:
        return {"type": "error", "error": {"type": self.kind, "message": str(self)}}

    def response(self) -> web.Response:
        headers = {}
        if self.retry_after is not None:
            headers["Retry-After"] = str(max(1, math.ceil(self.retry_after)))  # RFC 9110 has whole seconds
        return web.json_response(self.body(), status=self.status, headers=headers)
