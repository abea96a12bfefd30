"""GET /account: API tokens and the password."""

from __future__ import annotations

import time

from starlette.responses import Response

from app.domain.errors import NotFound, Refused
from app.store import accounts, audit
from app.web.access import Visitor, client_address, new_secret
from app.web.answers import frame_of, page, problem_of, redirect
from app.web.asked import form_of, path_id, text_field
from app.web.contexts.account import AccountPage
from app.web.parts import Problem, TokenView
from app.web.passwords import check_new
from app.web.state import WebRequest
from app.web.text import visible

DAYS = 90
MOST_DAYS = 3650


async def show(request: WebRequest, visitor: Visitor) -> Response:
    return await _page(request, visitor)


async def create_token(request: WebRequest, visitor: Visitor) -> Response:
    """Shows the token, this once: only its digest is kept."""
    form, db, now = await form_of(request), request.state["db"], time.time()
    try:
        name, days = text_field(form, "name", limit=80), _days(text_field(form, "days", limit=10))
        if not name:
            raise Refused("a token needs a name", where="name", todo="Say what will use it.")
    except Refused as error:
        return await _page(request, visitor, problem=problem_of(error))
    secret = new_secret()
    token = await accounts.create_token(
        db, visitor.user.id, secret, name, at=now, expires_at=now + days * 86400 if days else None
    )
    await audit.append(db, at=now, actor=visitor.name, action="token.create", subject=f"token {token.id}", detail=name)
    return await _page(request, visitor, new_token=f"crc_{token.id}_{secret}")


async def revoke_token(request: WebRequest, visitor: Visitor) -> Response:
    db, token = request.state["db"], path_id(request, "token")
    if not await accounts.revoke_token(db, visitor.user.id, token):
        raise NotFound(f"you have no token {token}")
    request.state["remembered"].forget_all()
    await audit.append(db, at=time.time(), actor=visitor.name, action="token.revoke", subject=f"token {token}")
    return redirect("/account?said=revoked")


async def change_password(request: WebRequest, visitor: Visitor) -> Response:
    """Other sessions end. The present password is asked for: a session left open must not be enough."""
    form, state, now = await form_of(request), request.state, time.time()
    address = client_address(request)
    try:
        if (wait := state["throttle"].wait_seconds(visitor.name, address, now=now)) > 0:
            raise Refused(f"too many wrong passwords; wait {wait:.0f} s")
        if not await state["passwords"].verify(visitor.user.password_hash, text_field(form, "current")):
            state["throttle"].failed(visitor.name, address, now=now)
            raise Refused("the present password is wrong", where="current")
        new = check_new(str(form.get("password", "")), str(form.get("again", "")))
    except Refused as error:
        return await _page(request, visitor, problem=problem_of(error))
    hashed = await state["passwords"].hash(new)
    await accounts.set_password(state["db"], visitor.user.id, hashed, keep=visitor.secret)
    state["remembered"].forget_all()
    await audit.append(state["db"], at=now, actor=visitor.name, action="password.change")
    return redirect("/account?said=password")


async def _page(
    request: WebRequest, visitor: Visitor, *, new_token: str = "", problem: Problem | None = None
) -> Response:
    tokens = await accounts.tokens(request.state["db"], visitor.user.id)
    context = AccountPage(
        frame=await frame_of(request, visitor, title="Account", section="account"),
        tokens=tuple(
            TokenView(
                id=token.id,
                name=visible(token.name),
                created_at=token.created_at,
                expires_at=token.expires_at,
                last_used_at=token.last_used_at,
            )
            for token in tokens
        ),
        new_token=new_token,
        problem=problem,
    )
    return page(request, context, status=400 if problem else 200)


def _days(text: str) -> int:
    """0 means for ever."""
    if not text:
        return DAYS
    if not text.isascii() or not text.isdigit() or int(text) > MOST_DAYS:
        raise Refused(f"{text!r} is not a number of days", where="days", todo=f"Write 0 (for ever) to {MOST_DAYS}.")
    return int(text)
