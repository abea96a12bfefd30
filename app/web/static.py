"""Our own files: style sheets, scripts, vendored libraries. Public: there is nothing of anyone in them."""

from __future__ import annotations

import os

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from app.web.templates import STATIC

_FOR_EVER = "public, max-age=31536000, immutable"


class Static(StaticFiles):
    """With its digest in the address (?v=) a file may be kept for ever; without one it is asked for again each time."""

    def __init__(self) -> None:
        super().__init__(directory=STATIC)

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        versioned = b"v=" in scope.get("query_string", b"") and Headers(scope=scope).get("cache-control") is None
        response.headers["cache-control"] = _FOR_EVER if versioned else "no-cache"
        return response
