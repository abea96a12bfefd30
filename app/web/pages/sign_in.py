"""Signing in and out, and the one-time link that sets the password."""

from __future__ import annotations

import re
import time

from starlette.responses import Response

from app.domain.errors import Refused
from app.store import accounts, audit
from app.web.access import Visitor, client_address, close_session, cookie_name, open_session, visitor_by_cookie
from app.web.answers import STRANGERS_COMMANDS, frame_of, page, problem_of, redirect
from app.web.asked import form_of, text_field
from app.web.contexts.account import SignInPage, WelcomePage
from app.web.cross_site import local_path
from app.web.parts import Problem
from app.web.passwords import check_new
from app.web.state import WebRequest

_STOP_ASKED = re.compile(r"/runs/([0-9]{1,12})\?stop=asked")
WRONG = Problem(what="name or password is wrong")  # what to do about it stands below the form


async def form(request: WebRequest) -> Response:
    target = local_path(request.query_params.get("next", "")) or "/"
    if await visitor_by_cookie(request) is not None:
        return redirect(target)
    return await _form(request, name="", target=target, problem=None, status=200)


async def sign_in(request: WebRequest) -> Response:
    """Name and password; each wrong one makes the next wait longer."""
    sent, state, now = await form_of(request), request.state, time.time()
    name, password = text_field(sent, "name", limit=80), str(sent.get("password", ""))
    target, address = local_path(text_field(sent, "next", limit=500)) or "/", client_address(request)
    if (wait := state["throttle"].wait_seconds(name, address, now=now)) > 0:
        problem = Problem(what="too many wrong passwords", todo=f"Wait {wait:.0f} s and try again.")
        answer = await _form(request, name=name, target=target, problem=problem, status=429)
        answer.headers["retry-after"] = f"{wait:.0f}"
        return answer
    # Counted before it is checked, so that many tries at the same moment do not pass as one.
    state["throttle"].failed(name, address, now=now)
    user = await accounts.administrator(state["db"])
    stored = user.password_hash if name == user.name else None
    if not await state["passwords"].verify(stored, password):
        await audit.append(state["db"], at=now, actor=name[:80], action="session.refuse", detail=f"from {address}")
        return await _form(request, name=name, target=target, problem=WRONG, status=403)
    state["throttle"].succeeded(name, address)
    await accounts.prune(state["db"], now=now)
    answer = redirect(target)
    await open_session(request, user, answer)
    await audit.append(state["db"], at=now, actor=user.name, action="session.open", detail=f"from {address}")
    return answer


async def _form(request: WebRequest, *, name: str, target: str, problem: Problem | None, status: int) -> Response:
    user = await accounts.administrator(request.state["db"])
    asked = _STOP_ASKED.fullmatch(target)
    context = SignInPage(
        frame=await frame_of(request, None, title="Sign in"),
        name=name,
        next=target,
        problem=problem,
        password_set=user.password_hash is not None,
        stop_asked=int(asked[1]) if asked else None,
        commands=(f"crucible stop {asked[1]}", STRANGERS_COMMANDS[1]) if asked else STRANGERS_COMMANDS,
    )
    return page(request, context, status=status)


async def sign_out(request: WebRequest, visitor: Visitor) -> Response:
    await close_session(request, request.state["db"])
    await audit.append(request.state["db"], at=time.time(), actor=visitor.name, action="session.close")
    answer = redirect("/sign-in?said=signed-out")
    settings = request.state["settings"]
    answer.delete_cookie(cookie_name(settings), path="/", secure=settings.secure_cookies, httponly=True, samesite="lax")
    return answer


async def welcome(request: WebRequest) -> Response:
    """Looking at the link does not use it up: mail scanners and previews look too."""
    return await _welcome(request, None, 200)


async def set_password(request: WebRequest) -> Response:
    """Uses the link up, sets the password, signs in."""
    state, now, secret = request.state, time.time(), request.path_params["secret"]
    sent = await form_of(request)
    try:
        if not await accounts.peek_link(state["db"], secret, now=now):
            raise Refused("this link was used or has expired", todo="A new one: crucible sign-in-link.")
        password = check_new(str(sent.get("password", "")), str(sent.get("again", "")))
    except Refused as error:
        return await _welcome(request, problem_of(error), 400)
    hashed = await state["passwords"].hash(password)
    user = await accounts.redeem_link(state["db"], secret, now=now)
    if user is None:  # Someone was first, while the password was hashed.
        return await _welcome(request, Problem(what="this link was used a moment ago"), 400)
    await accounts.set_password(state["db"], user.id, hashed)
    await audit.append(state["db"], at=now, actor=user.name, action="password.set", detail="by one-time link")
    answer = redirect("/")
    await open_session(request, user, answer)
    return answer


async def _welcome(request: WebRequest, problem: Problem | None, status: int) -> Response:
    db, secret = request.state["db"], request.path_params["secret"]
    valid = await accounts.peek_link(db, secret, now=time.time())
    context = WelcomePage(
        frame=await frame_of(request, None, title="Welcome"),
        valid=valid,
        action=f"/welcome/{secret}" if valid else "/sign-in",
        user=(await accounts.administrator(db)).name if valid else "",
        problem=problem,
    )
    return page(request, context, status=status if valid or status != 200 else 404)
