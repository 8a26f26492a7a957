"""The parameters of one Bot API request, wherever they stand: query, JSON, form or multipart.

Everything is bounded before it is parsed, and every failure is a 400 or 413: nothing that a
client sends may end in a traceback ("Making requests" of the Bot API lists the four places).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import BodyPartReader, web
from aiohttp.multipart import MultipartReader

from klad.botapi.errors import ApiError, bad_request

BODY_LIMIT = 1 << 20
"""Bytes of a body; the largest honest one, 4,096 characters with entities, is far below."""

FIELDS_LIMIT = 64

INT64 = 2**63 - 1

_WHOLE = re.compile(r"-?[0-9]{1,19}\Z")


async def read_params(request: web.Request) -> Params:
    """Raises ApiError 400 for what can't be parsed, 413 for what is over BODY_LIMIT bytes."""
    values: dict[str, Any] = dict(request.query)
    if request.method != "POST" or not request.body_exists:
        return Params(values)
    if (request.content_length or 0) > BODY_LIMIT:
        raise too_large()
    kind = request.content_type
    if kind == "multipart/form-data":
        values.update(await _multipart(request))
        return Params(values)
    body = await read_body(request)
    if not body:
        return Params(values)
    if kind == "application/json":
        values.update(json_object(body))
    elif kind == "application/x-www-form-urlencoded":
        values.update(_form(body))
    else:
        raise bad_request("unsupported content type of the request body")
    return Params(values)


async def read_body(request: web.Request, limit: int = BODY_LIMIT) -> bytes:
    """The whole body, at most `limit` bytes (after decompression). Raises ApiError 413 or 400."""
    if (request.content_length or 0) > limit:
        raise too_large()
    body = bytearray()
    try:
        async for piece in request.content.iter_chunked(1 << 16):
            body += piece
            if len(body) > limit:
                raise too_large()
    except (web.HTTPException, ApiError, ConnectionError):
        raise
    except Exception as error:  # aiohttp has no one class for a body that breaks off or won't decompress
        raise bad_request("can't read the request body") from error
    return bytes(body)


def too_large() -> ApiError:
    return ApiError(413, "Request Entity Too Large")


def json_object(body: bytes) -> dict[str, Any]:
    """Raises ApiError 400 unless `body` is a JSON object in UTF-8."""
    try:
        value = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise bad_request("can't parse the request body as JSON") from error
    if not isinstance(value, dict):
        raise bad_request("the request body must be a JSON object")
    return value


def _form(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            body.decode("utf-8"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=FIELDS_LIMIT,
        )
    except ValueError as error:
        raise bad_request("can't parse the request body as a form") from error
    return dict(pairs)


async def _multipart(request: web.Request) -> dict[str, str]:
    values: dict[str, str] = {}
    size = 0
    try:
        reader = await request.multipart()
        while (part := await reader.next()) is not None:
            if isinstance(part, MultipartReader) or not isinstance(part, BodyPartReader):
                raise bad_request("can't parse the request body: a multipart in a multipart")
            value = bytearray()
            while piece := await part.read_chunk(1 << 16):
                size += len(piece)
                if size > BODY_LIMIT:
                    raise too_large()
                value += piece
            if part.name is None or len(values) >= FIELDS_LIMIT:
                raise bad_request("can't parse the request body: a part has no name, or there are too many")
            values[part.name] = value.decode("utf-8")
    except (web.HTTPException, ApiError, ConnectionError):
        raise
    except Exception as error:  # AssertionError, ValueError, RuntimeError… by what is broken
        raise bad_request("can't parse the request body as multipart/form-data") from error
    return values


class Params:
    """Typed reading of parameters: a JSON body gives values as they are, all others give strings."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) not in (None, "")

    def raw(self, name: str) -> Any:
        return self._values.get(name)

    def text(self, name: str, default: str = "") -> str:
        value = self._values.get(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise bad_request(f'field "{name}" must be of type String')
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:  # JSON can spell half a surrogate pair
            raise bad_request("strings must be encoded in UTF-8") from error
        return value

    def integer(self, name: str, default: int = 0) -> int:
        """Raises ApiError 400 unless it is a whole number of 64 bits."""
        value = self._values.get(name)
        if value is None or value == "":
            return default
        number = whole(value)
        if number is None:
            raise bad_request(f'field "{name}" must be an integer')
        return number

    def boolean(self, name: str) -> bool:
        return str(self._values.get(name)).lower() in ("true", "1", "yes")

    def structure(self, name: str, kind: type[Any]) -> Any:
        """A JSON-serialized object or array; None when it is absent. Raises ApiError 400."""
        value = self._values.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError) as error:
                raise bad_request(f"can't parse {name} JSON object") from error
        if not isinstance(value, kind):
            raise bad_request(f'field "{name}" must be of type {"Array" if kind is list else "Object"}')
        return value


def whole(value: object) -> int | None:
    """The 64-bit integer that a JSON number or a string of digits stands for, else None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and _WHOLE.match(value):
        value = int(value)
    if isinstance(value, int) and -INT64 <= value <= INT64:
        return value
    return None
