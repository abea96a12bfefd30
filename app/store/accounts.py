"""Users, sessions, sign-in links and API tokens. Secrets are stored as SHA-256, passwords as argon2id hashes (made by the web)."""

from __future__ import annotations

from dataclasses import dataclass

from app.store.database import Database


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


async def administrator(db: Database) -> User:
    """The one local administrator, "admin"; made when missing."""
    raise NotImplementedError


async def set_password(db: Database, user: int, password_hash: str) -> None:
    """Also ends every other session of the user."""
    raise NotImplementedError


async def create_link(db: Database, user: int, secret: str, *, expires_at: float) -> None:
    """A one-time sign-in link; older unused ones of the user end."""
    raise NotImplementedError


async def redeem_link(db: Database, secret: str, *, now: float) -> User | None:
    """The user, once; None when unknown, used or expired."""
    raise NotImplementedError


async def peek_link(db: Database, secret: str, *, now: float) -> bool:
    """Whether `redeem_link` would work."""
    raise NotImplementedError


async def create_session(db: Database, user: int, secret: str, csrf: str, *, expires_at: float) -> None:
    raise NotImplementedError


async def session(db: Database, secret: str, *, now: float) -> Session | None:
    raise NotImplementedError


async def end_session(db: Database, secret: str) -> None:
    raise NotImplementedError


async def create_token(db: Database, user: int, secret: str, name: str, *, at: float, expires_at: float | None) -> Token:
    raise NotImplementedError


async def token_user(db: Database, secret: str, *, now: float) -> User | None:
    """The token's user; notes when it was used (at most once a minute)."""
    raise NotImplementedError


async def tokens(db: Database, user: int) -> list[Token]:
    raise NotImplementedError


async def revoke_token(db: Database, user: int, token: int) -> bool:
    raise NotImplementedError
