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
    secret: str  #: of the session or the token
    by_token: bool

    @property
    def name(self) -> str:
        return self.user.name


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
    return None if session is None else Visitor(user=session.user, csrf=session.csrf, secret=secret, by_token=False)


async def visitor_by_token(request: WebRequest) -> Visitor | None:
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    match = _TOKEN.fullmatch(token.strip())
    if kind.lower() != "bearer" or match is None:
        return None
    user = await accounts.token_user(request.state["db"], match[2], now=time.time())
    return None if user is None else Visitor(user=user, csrf="", secret=match[2], by_token=True)


async def still_known(db: Database, visitor: Visitor) -> bool:
    """Whether the session or the token is still good: asked again and again while a stream is open."""
    if visitor.by_token:
        return await accounts.token_user(db, visitor.secret, now=time.time()) is not None
    return await accounts.session(db, visitor.secret, now=time.time()) is not None


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


def client_address(request: WebRequest) -> str:
    """Of the other end of the connection; a header could be anyone's."""
    return request.client.host if request.client else "unknown"
