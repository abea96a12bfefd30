"""The second way of a page's STOP: where the warden listens for it, and the page's leave to ask there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from urllib.parse import urlsplit

from app.web.access import Visitor
from app.web.state import WebRequest
from sandbox_runner.stop_token import Leave, signed


class StopDoor:
    """`port` is the warden's, 0 while there is none; `key` is shared with it. Off behind HTTPS: a page there may ask
    nobody who speaks plain HTTP."""

    def __init__(self, *, key: bytes, port: Callable[[], int], secure: bool) -> None:
        self._key = key
        self._port = port
        self._secure = secure

    def origin(self, request: WebRequest) -> str:
        """As this page's browser reaches it, "" when it cannot: the same name, another port."""
        host = urlsplit(f"//{request.headers.get('host', '')}").hostname
        if self._secure or not host or not self._port():
            return ""
        return f"http://{f'[{host}]' if ':' in host else host}:{self._port()}"

    def token(self, request: WebRequest, visitor: Visitor) -> str:
        """For this session's pages, as long as it lasts."""
        leave = Leave(
            who=visitor.name,
            session=hashlib.sha256(visitor.secret.encode()).hexdigest()[:16],
            origin=f"http://{request.headers.get('host', '').lower()}",
            until=visitor.expires_at,
        )
        return signed(self._key, leave)
