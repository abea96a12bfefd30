"""Who is asking: by session cookie or by API token."""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass

from starlette.responses import Response

from app.settings import Settings
from app.store import accounts
from app.store.accounts import User
from app.store.database import Database
from app.web.state import WebRequest

_TOKEN = re.compile(r"crc_([0-9]{1,12})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """A known person or program."""

    user: User
    csrf: str  #: "" for a program
    session: str | None  #: the session's secret; None for a program

    @property
    def name(self) -> str:
        return self.user.name

    @property
    def by_token(self) -> bool:
        return self.session is None


def new_secret() -> str:
    """256 bits as 43 letters."""
    return secrets.token_urlsafe(32)


def cookie_name(settings: Settings) -> str:
    return "__Host-crucible" if settings.secure_cookies else "crucible"


async def visitor_by_cookie(request: WebRequest) -> Visitor | None:
    secret = request.cookies.get(cookie_name(request.state["settings"]))
    if not secret or len(secret) > 100:
        return None
    session = await accounts.session(request.state["db"], secret, now=time.time())
    return None if session is None else Visitor(user=session.user, csrf=session.csrf, session=secret)


async def visitor_by_token(request: WebRequest) -> Visitor | None:
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    match = _TOKEN.fullmatch(token.strip())
    if kind.lower() != "bearer" or match is None:
        return None
    user = await accounts.token_user(request.state["db"], match[2], now=time.time())
    return None if user is None else Visitor(user=user, csrf="", session=None)


async def open_session(request: WebRequest, user: User, response: Response) -> None:
    """A new session, always with a new secret; the old one of this browser ends."""
    settings, db = request.state["settings"], request.state["db"]
    await close_session(request, db)
    secret = new_secret()
    seconds = settings.session_hours * 3600
    await accounts.create_session(db, user.id, secret, new_secret(), expires_at=time.time() + seconds)
    response.set_cookie(
        cookie_name(settings),
        secret,
        max_age=int(seconds),
        path="/",
        secure=settings.secure_cookies,
        httponly=True,
        samesite="lax",
    )


async def close_session(request: WebRequest, db: Database) -> None:
    old = request.cookies.get(cookie_name(request.state["settings"]))
    if old and len(old) <= 100:
        await accounts.end_session(db, old)
