"""Answers: pages in their frame, JSON, and errors in the form the asker wants."""

from __future__ import annotations

import re
import secrets
import time
from http import HTTPStatus
from typing import Protocol
from urllib.parse import urlencode

from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from app.domain.errors import Conflict, CrucibleError, NotFound, Refused, Unavailable
from app.web.access import Visitor
from app.web.contexts.frame import ErrorPage, Frame
from app.web.cross_site import local_path
from app.web.middleware import content_policy
from app.web.parts import Problem
from app.web.state import WebRequest
from app.web.templates import Context
from app.web.text import visible
from app.web.views.strip import strip_of

#: Ways to stop everything for whoever is not signed in, who is told no folder. The server's first words are whole.
STRANGERS_COMMANDS = ("crucible panic", "touch STOP (in the data folder)", "python -m sandbox_runner kill-all")

#: What `?said=` may make a page say, once, after a redirect.
NOTICES = {
    "stop": "Stop received. The receipt shows when death was proven.",
    "stop-all": "Everything is being stopped. The queue is held until someone releases it.",
    "stop-evaluation": "Every run of this evaluation is being stopped. The receipts are on the runs' pages.",
    "proving": "The proof has begun. It plays every attack in sandboxes of its own.",
    "asked": "Your session had ended, so nothing was stopped. Press STOP again.",
    "released": "The queue goes on.",
    "not-held": "The queue was not held.",
    "frozen": "The run stands still.",
    "thawed": "The run goes on.",
    "drill": "This is a drill. Wait until the agent is at work, then stop it by any way you like.",
    "attended": "You are there: the time of this run begins anew.",
    "reason": "The reason is noted.",
    "password": "The password is changed; other sessions have ended.",
    "revoked": "The token no longer works.",
    "signed-out": "You are signed out.",
}


class InFrame(Context, Protocol):
    """A page."""

    @property
    def frame(self) -> Frame: ...


async def frame_of(request: WebRequest, visitor: Visitor | None, *, title: str, section: str = "") -> Frame:
    """What every page needs, as it is now. A stranger's page knows nothing of the runs."""
    state = request.state
    strip = None
    if visitor is not None:
        strip = await strip_of(state["db"], state["supervisor"], state["settings"], state["stop_commands"])
    door = state["stop_door"].origin(request) if visitor is not None else ""
    return Frame(
        title=title,
        section=section,
        user=visitor.name if visitor else "",
        csrf=visitor.csrf if visitor else "",
        nonce=secrets.token_urlsafe(16),
        version=state["version"],
        now=time.time(),
        path=here(request, once=frozenset({"said", "stop"})),
        strip=strip,
        commands=state["stop_commands"].everything if visitor is not None else STRANGERS_COMMANDS,
        stop_door=door,
        stop_token=state["stop_door"].token(request, visitor) if visitor and door else "",
        notice=NOTICES.get(request.query_params.get("said", ""), ""),
    )


def here(request: WebRequest, *, once: frozenset[str] = frozenset({"said"})) -> str:
    """This page's own address, without what is said `once`; "/" for addresses a redirect may not go to."""
    query = urlencode([(key, value) for key, value in request.query_params.multi_items() if key not in once])
    path: str = request.scope["path"]
    return local_path(f"{path}?{query}" if query else path) or "/"


def page(request: WebRequest, context: InFrame, *, status: int = 200) -> Response:
    """The page, with the policy that knows its nonce."""
    html = request.state["pages"].render(context)
    return HTMLResponse(
        html, status, headers={"content-security-policy": content_policy(context.frame.nonce, context.frame.stop_door)}
    )


def redirect(path: str) -> Response:
    """To a page of ours, by GET."""
    return RedirectResponse(local_path(path) or "/", status_code=303)


def wants_json(request: WebRequest) -> bool:
    """A program, or a page's own fetch."""
    path: str = request.scope["path"]
    return path.startswith("/api/") or "application/json" in request.headers.get("accept", "")


def wants_fragment(request: WebRequest) -> bool:
    return request.headers.get("hx-request") == "true"


# errors


def status_of(error: CrucibleError) -> int:
    match error:
        case NotFound():
            return 404
        case Refused():
            return 400
        case Conflict():
            return 409
        case Unavailable():
            return 503
        case _:
            return 500


def problem_of(error: CrucibleError) -> Problem:
    """What went wrong, safe to show: names and quotes in it may be an adversary's."""
    if isinstance(error, Refused):
        return Problem(what=visible(error.what), where=visible(error.where), todo=visible(error.todo))
    return Problem(what=visible(str(error)))


def json_error(problem: Problem, status: int) -> Response:
    body = {"error": {"what": problem.what, "where": problem.where, "todo": problem.todo}}
    return JSONResponse(body, status, headers={"www-authenticate": "Bearer"} if status == 401 else None)


async def error_answer(request: WebRequest, visitor: Visitor | None, problem: Problem, status: int) -> Response:
    """The error as JSON for programs and fetches, as a page for people."""
    if wants_json(request):
        return json_error(problem, status)
    word = HTTPStatus(status).phrase.capitalize()
    frame = await frame_of(request, visitor, title=word)
    return page(request, ErrorPage(frame=frame, status=status, word=word, problem=problem), status=status)


# strangers

_STOP = re.compile(r"/runs/([0-9]{1,12})/stop")
_OF_ONE = re.compile(r"(/(?:runs|evaluations)/[0-9]{1,12})/.*")


def comes_back_to(request: WebRequest) -> str:
    """Where to go on after signing in. What changes something is not done by itself: it is asked again."""
    if request.method in ("GET", "HEAD"):
        return here(request)
    path: str = request.scope["path"]
    if match := _STOP.fullmatch(path):
        return f"/runs/{match[1]}?stop=asked"
    if match := _OF_ONE.fullmatch(path):
        return match[1]
    return {"/stop-all": "/?said=asked", "/evaluations": "/new"}.get(path, "/")


def sign_in_path(request: WebRequest) -> str:
    target = comes_back_to(request)
    return "/sign-in" if target == "/" else f"/sign-in?{urlencode({'next': target})}"


def stranger(request: WebRequest) -> Response:
    """For someone we do not know: to the sign-in page, or 401 where a redirect would mislead."""
    if wants_json(request):
        return json_error(Problem(what="you are not signed in", todo="Sign in, or send an API token."), 401)
    if wants_fragment(request):
        return Response(status_code=401, headers={"hx-redirect": sign_in_path(request)})
    return RedirectResponse(sign_in_path(request), status_code=303)
