"""What can go wrong here, in the words of the Bot API and in the project's own."""

from __future__ import annotations

from typing import Any

from klad.errors import KladError


class StoreError(KladError):
    """The chat's own database could not be opened, read or written; nothing of the step was written."""


class ApiError(Exception):
    """An answer that is not ok, as the Bot API gives it ("Making requests", ResponseParameters).

    `code` is both the HTTP status and `error_code`; `retry_after` is in whole seconds.
    """

    def __init__(self, code: int, description: str, retry_after: int | None = None) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.retry_after = retry_after

    def body(self) -> dict[str, Any]:
        """The JSON object that the client is sent."""
        answer: dict[str, Any] = {"ok": False, "error_code": self.code, "description": self.description}
        if self.retry_after is not None:
            answer["parameters"] = {"retry_after": self.retry_after}
        return answer


def bad_request(words: str) -> ApiError:
    return ApiError(400, f"Bad Request: {words}")


def not_found() -> ApiError:
    """An unknown method, or a token that doesn't have the form of one."""
    return ApiError(404, "Not Found")


def unauthorized() -> ApiError:
    """A token that has the form of one and isn't ours."""
    return ApiError(401, "Unauthorized")


def conflict() -> ApiError:
    return ApiError(
        409,
        "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
    )


def too_many_requests(seconds: int) -> ApiError:
    return ApiError(429, f"Too Many Requests: retry after {seconds}", retry_after=seconds)
