"""One file from the internet, checked against the digest that the recipe names."""

from __future__ import annotations

import base64
import hashlib
import os
import tempfile
import urllib.request
from pathlib import Path

from klad.errors import ImageMissingError


def fetch(url: str, sha512: str, timeout_s: float = 60) -> Path:
    """A temporary file, the caller's to remove. Proxies and `SSL_CERT_FILE` are respected.

    `sha512` is base64, as in Subresource Integrity. Raises `ImageMissingError`.
    """
    if not url.startswith("https://"):
        raise ImageMissingError(f"{url} is not https")
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as reply:  # noqa: S310 - https, see above
            content = reply.read()
    except OSError as error:
        raise ImageMissingError(f"{url} can't be fetched: {error}") from error
    found = base64.b64encode(hashlib.sha512(content).digest()).decode()
    if found != sha512:
        raise ImageMissingError(f"{url} is not the file that the recipe names (sha512 {found})")
    handle, name = tempfile.mkstemp(prefix="klad-fetch-")
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    return Path(name)
