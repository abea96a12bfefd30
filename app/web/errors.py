"""From exceptions to answers: what, where and what to do, never a trace."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import cast

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ExceptionHandler

from app.domain.errors import CrucibleError
from app.web.access import Visitor, visitor_by_cookie, visitor_by_token
from app.web.answers import error_answer, problem_of, status_of, stranger, wants_json
from app.web.parts import Problem
from app.web.state import WebRequest

log = logging.getLogger(__name__)

_WHAT = {404: "there is no such address", 405: "this address is not asked that way", 413: "what was sent is too long"}
_TODO = {404: "Look at the address, or start from the wall.", 413: "Send less."}


async def _crucible_error(asked: Request, error: Exception) -> Response:
    assert isinstance(error, CrucibleError)
    request = cast(WebRequest, asked)
    status = status_of(error)
    if status >= 500:
        log.error("%s %s: %s", request.method, request.scope["path"], error)
    try:
        return await error_answer(request, await _visitor(request), problem_of(error), status)
    except CrucibleError:  # The database that failed is asked for the page's header too.
        return PlainTextResponse(f"{problem_of(error).what}\n", status)


async def _http_exception(asked: Request, error: Exception) -> Response:
    """No such route, wrong method, too large. A stranger is not told which addresses there are."""
    assert isinstance(error, HTTPException)
    request = cast(WebRequest, asked)
    visitor = await _visitor(request)
    if visitor is None and error.status_code in (404, 405) and not request.scope["path"].startswith("/static/"):
        return stranger(request)
    status = HTTPStatus(error.status_code)
    problem = Problem(what=_WHAT.get(status, status.phrase.lower()), todo=_TODO.get(status, ""))
    answer = await error_answer(request, visitor, problem, status)
    answer.headers.update(error.headers or {})
    return answer


async def _left(_asked: Request, error: Exception) -> Response:
    """Whoever asked went away in mid-sentence: nobody hears this, and it is no mistake of ours to log."""
    assert isinstance(error, ClientDisconnect)
    return Response(status_code=400)


async def _crash(asked: Request, error: Exception) -> Response:
    """A mistake of ours. The log has it."""
    request = cast(WebRequest, asked)
    log.error("%s %s failed", request.method, request.scope["path"], exc_info=error)
    problem = Problem(what="Crucible made a mistake", todo="The server's log says more. The stop commands still work.")
    if wants_json(request):
        return await error_answer(request, None, problem, 500)
    return PlainTextResponse(f"{problem.what}. {problem.todo}\n", 500)


async def _visitor(request: WebRequest) -> Visitor | None:
    if "authorization" in request.headers:
        return await visitor_by_token(request)
    return await visitor_by_cookie(request)


EXCEPTION_HANDLERS: Mapping[type[Exception], ExceptionHandler] = {
    CrucibleError: _crucible_error,
    HTTPException: _http_exception,
    ClientDisconnect: _left,
    Exception: _crash,
}
