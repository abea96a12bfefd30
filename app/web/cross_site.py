"""Whether a request that changes something came from our own pages. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def from_our_pages(method: str, headers: Mapping[str, str]) -> bool:
    """For requests that carry a cookie. Header names in lower case.

    Browsers say in Sec-Fetch-Site where a request comes from, and nothing else on the page can write it. Over plain
    HTTP to another machine they do not send it; then Origin has to name this host. Neither: not a browser page of ours.
    """
    if method in SAFE_METHODS:
        return True
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = headers.get("origin")
    if origin is None:
        return False
    host = headers.get("host", "")
    parts = urlsplit(origin)
    return parts.scheme in {"http", "https"} and bool(host) and parts.netloc.lower() == host.lower()


def local_path(text: str) -> str | None:
    """`text` if it is a path of this site that a redirect may go to, else None."""
    if not text.startswith("/") or text.startswith("//") or "\\" in text or len(text) > 500:
        return None
    if any(not 0x20 < ord(sign) < 0x7F for sign in text):
        return None
    return text
