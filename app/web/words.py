"""Whether this browser wants to see what agents write on the wall. Remembered in a cookie, so that it holds without
JavaScript and for the stream: with "hidden" those texts never leave the server."""

from __future__ import annotations

from starlette.responses import Response

from app.web.state import WebRequest

COOKIE = "crucible_words"
_YEAR = 365 * 24 * 3600


def shows_words(request: WebRequest) -> bool:
    return request.cookies.get(COOKIE) != "hidden"


def remember_words(request: WebRequest, response: Response, *, shown: bool) -> None:
    secure = request.state["settings"].secure_cookies
    value = "shown" if shown else "hidden"
    response.set_cookie(COOKIE, value, max_age=_YEAR, path="/", secure=secure, httponly=True, samesite="lax")
