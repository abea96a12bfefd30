"""Who may use a route. Every route is made by one of these four; there is no other way into the table.

`anyone`  a stranger too: signing in, and whether the server lives
`person`  a browser session; a stranger is led to sign in
`stream`  a browser session; a stranger gets 401 and no redirect, for a stream cannot follow one
`program` an API token or a browser session; a stranger gets 401 as JSON

What changes something and comes with a cookie must also come from our own pages and carry the session's token.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.store import accounts
from app.web.access import Visitor, visitor_by_cookie, visitor_by_token, visitor_in_a_hurry
from app.web.answers import comes_back_to, error_answer, json_error, stranger, wants_fragment, wants_json
from app.web.asked import form_of, require_known_query
from app.web.cross_site import SAFE_METHODS, from_our_pages
from app.web.parts import Problem
from app.web.state import AppState, OpenHandler, WebRequest

Handler = Callable[[WebRequest, Visitor], Awaitable[Response]]

CROSS_SITE = Problem(
    what="this request did not come from a page of this server",
    todo="Open the page here and use its button; programs send an API token.",
)
STALE = Problem(what="this page is from an earlier session", todo="Load the page again and press the button again.")


def anyone(method: str, path: str, handler: OpenHandler) -> Route:
    async def guarded(request: Request[AppState]) -> Response:
        if not from_our_pages(method, request.headers):
            return await error_answer(request, None, CROSS_SITE, 403)
        return await handler(request)

    return Route(path, guarded, methods=[method])


def person(method: str, path: str, handler: Handler, *, hurry: bool = False) -> Route:
    """`hurry`: a stop, which does not wait for the record to say who presses it."""

    async def guarded(request: Request[AppState]) -> Response:
        if not from_our_pages(method, request.headers):
            return await error_answer(request, None, CROSS_SITE, 403)
        visitor = await (visitor_in_a_hurry(request, visitor_by_cookie) if hurry else visitor_by_cookie(request))
        if visitor is None:
            return stranger(request)
        if not await _token_fits(request, visitor):
            return await _stale(request, visitor)
        return await handler(request, visitor)

    return Route(path, guarded, methods=[method])


def stream(path: str, handler: Handler) -> Route:
    async def guarded(request: Request[AppState]) -> Response:
        visitor = await visitor_by_cookie(request)
        if visitor is None:
            return json_error(Problem(what="you are not signed in", todo="Sign in."), 401)
        return await handler(request, visitor)

    return Route(path, guarded, methods=["GET"])


def program(method: str, path: str, handler: Handler, *query: str, hurry: bool = False) -> Route:
    """`query`: the parameters it reads; one that nobody reads is refused, so that no mistyped one passes in silence."""
    known = frozenset(query)

    async def guarded(request: Request[AppState]) -> Response:
        # A request with a token is the token's alone: a cookie beside it does not count.
        if "authorization" in request.headers:
            lookup = visitor_by_token
        else:
            if not from_our_pages(method, request.headers):
                return json_error(CROSS_SITE, 403)
            lookup = visitor_by_cookie
        visitor = await (visitor_in_a_hurry(request, lookup) if hurry else lookup(request))
        if visitor is None:
            return json_error(
                Problem(what="no valid API token", todo="Make one on the account page; send Authorization: Bearer …"),
                401,
            )
        if not visitor.by_token and not await _token_fits(request, visitor):
            return json_error(STALE, 403)
        require_known_query(request, known)
        response = await handler(request, visitor)
        if visitor.by_token:  # After the answer: a stop must not wait for a writer.
            note = BackgroundTask(accounts.note_use, request.state["db"], visitor.secret, now=time.time())
            response.background = response.background or note
        return response

    return Route(f"/api/v1{path}", guarded, methods=[method])


async def _token_fits(request: WebRequest, visitor: Visitor) -> bool:
    """The session's token in X-CSRF-Token or in the form's field `csrf`."""
    if request.method in SAFE_METHODS:
        return True
    sent = request.headers.get("x-csrf-token")
    if sent is None:
        form = await form_of(request)
        field = form.get("csrf")
        sent = field if isinstance(field, str) else ""
    return secrets.compare_digest(sent.encode(errors="replace"), visitor.csrf.encode())


async def _stale(request: WebRequest, visitor: Visitor) -> Response:
    """The form is older than the session: for a stop, back to the page that asks for it again."""
    target = comes_back_to(request)
    if "asked" in target and not wants_json(request) and not wants_fragment(request):
        return Response(status_code=303, headers={"location": target})
    return await error_answer(request, visitor, STALE, 403)
