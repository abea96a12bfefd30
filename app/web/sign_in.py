"""The one-time sign-in link: how the first password gets set."""

from __future__ import annotations

import time

from app.settings import Settings
from app.store import accounts
from app.store.database import Database
from app.web.access import new_secret

LINK_SECONDS = 24 * 3600


async def create_sign_in_link(db: Database, settings: Settings) -> str:
    """A link that signs the administrator in once, within a day, and lets them set a password.

    Older links that were not used end. Print it where only the administrator can see it.
    """
    user = await accounts.administrator(db)
    secret = new_secret()
    await accounts.create_link(db, user.id, secret, expires_at=time.time() + LINK_SECONDS)
    return f"{address(settings)}/welcome/{secret}"


async def needs_first_sign_in(db: Database) -> bool:
    """Whether no password was set yet."""
    return (await accounts.administrator(db)).password_hash is None


def address(settings: Settings) -> str:
    """Where a browser finds this server."""
    if settings.secure_cookies:  # Behind HTTPS, under its public name.
        return f"https://{settings.allowed_hosts.split(',')[0].strip()}"
    host = {"0.0.0.0": "localhost", "::": "localhost"}.get(settings.host, settings.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
