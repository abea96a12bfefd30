"""Who is asking: by session cookie or by API token."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.responses import Response

from app.settings import Settings
from app.store import accounts
from app.store.accounts import User
from app.store.database import Database
from app.web.state import WebRequest

#: Secrets remembered, and for how many seconds without a question; how long while the record does not answer.
MOST_REMEMBERED, FRESH, STALE = 1000, 30.0, 15 * 60.0
#: Seconds a stop waits for the record to say who presses it.
LOOKUP_WITHIN = 0.5

_TOKEN = re.compile(r"crc_([0-9]{1,12})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """A known person or program."""

    user: User
    csrf: str  #: "" for a program
    secret: str  #: of the session or the token
    by_token: bool
    expires_at: float = 0.0  #: of the session

    @property
    def name(self) -> str:
        return self.user.name


class Remembered:
    """Visitors the record vouched for lately: a stop must not wait for a database to know who presses it.

    Only stops may use it. Whoever signs out or revokes a token is forgotten at once.
    """

    def __init__(self) -> None:
        self._seen: OrderedDict[str, tuple[Visitor, float]] = OrderedDict()

    def note(self, visitor: Visitor) -> None:
        self._seen[visitor.secret] = (visitor, time.monotonic())
        self._seen.move_to_end(visitor.secret)
        if len(self._seen) > MOST_REMEMBERED:
            self._seen.popitem(last=False)

    def recall(self, secret: str, *, within: float) -> Visitor | None:
        """Who showed this secret in the last `within` seconds."""
        visitor, at = self._seen.get(secret, (None, 0.0))
        return visitor if visitor is not None and time.monotonic() - at <= within else None

    def forget(self, secret: str) -> None:
        self._seen.pop(secret, None)

    def forget_all(self) -> None:
        self._seen.clear()


Lookup = Callable[[WebRequest], Awaitable[Visitor | None]]


def new_secret() -> str:
    """256 bits as 43 letters."""
    return secrets.token_urlsafe(32)


def cookie_name(settings: Settings) -> str:
    return "__Host-crucible" if settings.secure_cookies else "crucible"


async def visitor_by_cookie(request: WebRequest) -> Visitor | None:
    secret = _cookie(request)
    if not secret:
        return None
    session = await accounts.session(request.state["db"], secret, now=time.time())
    known = None
    if session is not None:
        known = Visitor(
            user=session.user, csrf=session.csrf, secret=secret, by_token=False, expires_at=session.expires_at
        )
    return _noted(request.state["remembered"], secret, known)


async def visitor_by_token(request: WebRequest) -> Visitor | None:
    secret = _token(request)
    if not secret:
        return None
    user = await accounts.token_user(request.state["db"], secret, now=time.time())
    known = None if user is None else Visitor(user=user, csrf="", secret=secret, by_token=True)
    return _noted(request.state["remembered"], secret, known)


async def visitor_in_a_hurry(request: WebRequest, lookup: Lookup) -> Visitor | None:
    """For stops: whoever was known a moment ago is known; else `lookup`, unless the record does not answer in time."""
    remembered = request.state["remembered"]
    secret = _token(request) if lookup is visitor_by_token else _cookie(request)
    if (seen := remembered.recall(secret, within=FRESH)) is not None:
        return seen
    looking = asyncio.ensure_future(lookup(request))
    await asyncio.wait({looking}, timeout=LOOKUP_WITHIN)
    if looking.done() and looking.exception() is None:
        return looking.result()
    looking.add_done_callback(lambda done: done.cancelled() or done.exception())
    return remembered.recall(secret, within=STALE)


def _noted(remembered: Remembered, secret: str, visitor: Visitor | None) -> Visitor | None:
    if visitor is None:
        remembered.forget(secret)
    else:
        remembered.note(visitor)
    return visitor


def _cookie(request: WebRequest) -> str:
    secret = request.cookies.get(cookie_name(request.state["settings"]), "")
    return secret if len(secret) <= 100 else ""


def _token(request: WebRequest) -> str:
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    match = _TOKEN.fullmatch(token.strip())
    return match[2] if kind.lower() == "bearer" and match is not None else ""


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
        request.state["remembered"].forget(old)
        await accounts.end_session(db, old)


def client_address(request: WebRequest) -> str:
    """Of the other end of the connection; a header could be anyone's."""
    return request.client.host if request.client else "unknown"
