"""Users, sessions, sign-in links and API tokens.

Secrets are stored as SHA-256 (they are long and random), passwords as argon2id hashes (made by the web).
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from app.domain.errors import Broken
from app.store import tables
from app.store.database import Database
from app.store.whole import whole

log = logging.getLogger(__name__)

ADMINISTRATOR = "admin"
#: Seconds between two notes of a token's use: a polling script must not make a write of every read.
NOTE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    id: int
    name: str
    password_hash: str | None  #: None until the first sign-in set one


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    user: User
    csrf: str
    expires_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    id: int
    user: str
    name: str
    created_at: float
    expires_at: float | None
    last_used_at: float | None


@whole
async def administrator(db: Database) -> User:
    """The one local administrator, "admin"; made when missing."""
    query = select(tables.users).where(tables.users.c.name == ADMINISTRATOR)
    async with db.reading() as connection:
        row = (await connection.execute(query)).one_or_none()
    if row is None:
        async with db.writing() as connection:
            row = (await connection.execute(query)).one_or_none()
            if row is None:
                made = insert(tables.users).values(name=ADMINISTRATOR).returning(tables.users)
                row = (await connection.execute(made)).one()
    return _user(row)


@whole
async def set_password(db: Database, user: int, password_hash: str, *, keep: str | None = None) -> None:
    """Also ends every other session of the user: all but the one with the secret `keep`, and unused sign-in links."""
    async with db.writing() as connection:
        await connection.execute(
            update(tables.users).where(tables.users.c.id == user).values(password_hash=password_hash)
        )
        ended = delete(tables.sessions).where(tables.sessions.c.user == user)
        if keep is not None:
            ended = ended.where(tables.sessions.c.digest != _digest(keep))
        await connection.execute(ended)
        await connection.execute(delete(tables.links).where(tables.links.c.user == user))


@whole
async def create_link(db: Database, user: int, secret: str, *, expires_at: float) -> None:
    """A one-time sign-in link; older unused ones of the user end."""
    async with db.writing() as connection:
        await connection.execute(delete(tables.links).where(tables.links.c.user == user))
        await connection.execute(insert(tables.links).values(digest=_digest(secret), user=user, expires_at=expires_at))


@whole
async def redeem_link(db: Database, secret: str, *, now: float) -> User | None:
    """The user, once; None when unknown, used or expired."""
    link = tables.links.c
    async with db.writing() as connection:
        user = await connection.scalar(
            delete(tables.links).where(link.digest == _digest(secret), link.expires_at > now).returning(link.user)
        )
        if user is None:
            return None
        return _user((await connection.execute(select(tables.users).where(tables.users.c.id == user))).one())


@whole
async def peek_link(db: Database, secret: str, *, now: float) -> bool:
    """Whether `redeem_link` would work."""
    link = tables.links.c
    query = select(link.user).where(link.digest == _digest(secret), link.expires_at > now)
    async with db.reading() as connection:
        return await connection.scalar(query) is not None


@whole
async def create_session(db: Database, user: int, secret: str, csrf: str, *, expires_at: float) -> None:
    """A signed-in browser, found by `secret` until `expires_at`."""
    async with db.writing() as connection:
        await connection.execute(
            insert(tables.sessions).values(digest=_digest(secret), user=user, csrf=csrf, expires_at=expires_at)
        )


@whole
async def session(db: Database, secret: str, *, now: float) -> Session | None:
    """None when unknown, ended or expired."""
    table = tables.sessions.c
    query = (
        select(tables.users, table.csrf, table.expires_at)
        .join(tables.sessions, table.user == tables.users.c.id)
        .where(table.digest == _digest(secret), table.expires_at > now)
    )
    async with db.reading() as connection:
        row = (await connection.execute(query)).one_or_none()
    return None if row is None else Session(user=_user(row), csrf=row.csrf, expires_at=row.expires_at)


@whole
async def end_session(db: Database, secret: str) -> None:
    """Nothing happens when there is none."""
    async with db.writing() as connection:
        await connection.execute(delete(tables.sessions).where(tables.sessions.c.digest == _digest(secret)))


@whole
async def create_token(
    db: Database, user: int, secret: str, name: str, *, at: float, expires_at: float | None
) -> Token:
    """An API token, found by `secret`; without `expires_at` until it is revoked."""
    values = {"digest": _digest(secret), "user": user, "name": name, "created_at": at, "expires_at": expires_at}
    async with db.writing() as connection:
        made = await connection.scalar(insert(tables.tokens).values(values).returning(tables.tokens.c.id))
        return _token((await connection.execute(_TOKENS.where(tables.tokens.c.id == made))).one())


@whole
async def token_user(db: Database, secret: str, *, now: float) -> User | None:
    """The token's user, None when unknown, revoked or expired. Only reads: a stop must not wait for a writer."""
    table = tables.tokens.c
    query = (
        select(tables.users, table.expires_at)
        .join(tables.tokens, table.user == tables.users.c.id)
        .where(table.digest == _digest(secret))
    )
    async with db.reading() as connection:
        row = (await connection.execute(query)).one_or_none()
    if row is None or (row.expires_at is not None and row.expires_at <= now):
        return None
    return _user(row)


@whole
async def note_use(db: Database, secret: str, *, now: float) -> None:
    """Note when the token was used, at most once a minute. A full disk is no error: it must keep nobody out."""
    table = tables.tokens
    query = select(table.c.id, table.c.last_used_at).where(table.c.digest == _digest(secret))
    try:
        async with db.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None or (row.last_used_at is not None and now - row.last_used_at < NOTE_SECONDS):
            return
        async with db.writing() as connection:
            await connection.execute(update(table).where(table.c.id == row.id).values(last_used_at=now))
    except Broken as error:
        log.warning("the use of a token could not be noted: %s", error)


@whole
async def tokens(db: Database, user: int) -> list[Token]:
    """The user's tokens, newest first, expired ones included."""
    query = _TOKENS.where(tables.tokens.c.user == user).order_by(tables.tokens.c.id.desc())
    async with db.reading() as connection:
        return [_token(row) for row in await connection.execute(query)]


@whole
async def revoke_token(db: Database, user: int, token: int) -> bool:
    """False when the user has no such token."""
    table = tables.tokens
    async with db.writing() as connection:
        gone = await connection.execute(delete(table).where(table.c.id == token, table.c.user == user))
        return gone.rowcount > 0


@whole
async def prune(db: Database, *, now: float) -> None:
    """Forget expired sessions and links. They count for nothing before; this only frees their rows."""
    async with db.writing() as connection:
        for table in (tables.sessions, tables.links):
            await connection.execute(delete(table).where(table.c.expires_at <= now))


_TOKENS = select(tables.tokens, tables.users.c.name.label("owner")).join(
    tables.users, tables.users.c.id == tables.tokens.c.user
)


def _digest(secret: str) -> bytes:
    # What a stranger sends may hold anything; a lone surrogate is no secret of ours, and no error either.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _user(row: Row[Any]) -> User:
    return User(id=row.id, name=row.name, password_hash=row.password_hash)


def _token(row: Row[Any]) -> Token:
    return Token(
        id=row.id,
        user=row.owner,
        name=row.name,
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
    )
