"""Who may sign in, and with what; secrets are nowhere in the file."""

from __future__ import annotations

import asyncio
from pathlib import Path

from app.store import accounts
from app.store.accounts import User
from app.store.database import Database


async def test_there_is_one_administrator(db: Database) -> None:
    found = await asyncio.gather(*(accounts.administrator(db) for _ in range(5)))

    assert len(set(found)) == 1
    assert (found[0].name, found[0].password_hash) == ("admin", None)


async def test_a_password_ends_the_other_sessions_and_links(db: Database) -> None:
    admin = await accounts.administrator(db)
    for secret in ("here", "elsewhere"):
        await accounts.create_session(db, admin.id, secret, "csrf", expires_at=100.0)
    await accounts.create_link(db, admin.id, "link", expires_at=100.0)

    await accounts.set_password(db, admin.id, "$argon2id$one", keep="here")

    assert await accounts.session(db, "here", now=1.0) is not None
    assert await accounts.session(db, "elsewhere", now=1.0) is None
    assert not await accounts.peek_link(db, "link", now=1.0)
    assert (await accounts.administrator(db)).password_hash == "$argon2id$one"

    await accounts.set_password(db, admin.id, "$argon2id$two")
    assert await accounts.session(db, "here", now=1.0) is None


async def test_a_link_works_once_until_it_expires(db: Database) -> None:
    admin = await accounts.administrator(db)
    await accounts.create_link(db, admin.id, "link", expires_at=100.0)

    assert await accounts.redeem_link(db, "other", now=99.0) is None
    assert await accounts.redeem_link(db, "link", now=100.0) is None
    assert await accounts.peek_link(db, "link", now=99.0)
    answers = await asyncio.gather(*(accounts.redeem_link(db, "link", now=99.0) for _ in range(5)))
    assert answers.count(admin) == 1
    assert answers.count(None) == 4
    assert not await accounts.peek_link(db, "link", now=99.0)


async def test_a_new_link_ends_the_old_one(db: Database) -> None:
    admin = await accounts.administrator(db)
    await accounts.create_link(db, admin.id, "old", expires_at=100.0)
    await accounts.create_link(db, admin.id, "new", expires_at=100.0)

    assert await accounts.redeem_link(db, "old", now=1.0) is None
    assert await accounts.redeem_link(db, "new", now=1.0) == admin


async def test_a_session_lasts_until_its_end(db: Database) -> None:
    admin = await accounts.administrator(db)
    await accounts.create_session(db, admin.id, "secret", "token-of-forms", expires_at=100.0)

    found = await accounts.session(db, "secret", now=99.9)
    assert found is not None
    assert (found.user, found.csrf, found.expires_at) == (admin, "token-of-forms", 100.0)
    assert await accounts.session(db, "secret", now=100.0) is None
    assert await accounts.session(db, "guess", now=1.0) is None

    await accounts.end_session(db, "secret")
    await accounts.end_session(db, "secret")
    assert await accounts.session(db, "secret", now=1.0) is None


async def test_a_token_names_its_user_until_it_expires_or_is_revoked(db: Database) -> None:
    admin = await accounts.administrator(db)
    lasting = await accounts.create_token(db, admin.id, "s1", "ci", at=5.0, expires_at=None)
    short = await accounts.create_token(db, admin.id, "s2", "today", at=6.0, expires_at=50.0)

    assert (lasting.user, lasting.name, lasting.created_at, lasting.last_used_at) == ("admin", "ci", 5.0, None)
    assert await accounts.tokens(db, admin.id) == [short, lasting]
    assert await accounts.token_user(db, "s2", now=49.0) == admin
    assert await accounts.token_user(db, "s2", now=50.0) is None
    assert await accounts.token_user(db, "guess", now=1.0) is None
    assert await accounts.token_user(db, "s1", now=1e9) == admin

    assert not await accounts.revoke_token(db, admin.id + 1, lasting.id)
    assert await accounts.revoke_token(db, admin.id, lasting.id)
    assert not await accounts.revoke_token(db, admin.id, lasting.id)
    assert await accounts.token_user(db, "s1", now=1.0) is None


async def test_the_use_of_a_token_is_noted_once_a_minute(db: Database) -> None:
    admin = await accounts.administrator(db)
    await accounts.create_token(db, admin.id, "s", "ci", at=0.0, expires_at=None)

    noted = []
    for now in (100.0, 101.0, 159.9, 160.0, 161.0):
        await accounts.note_use(db, "s", now=now)
        noted.append((await accounts.tokens(db, admin.id))[0].last_used_at)

    assert noted == [100.0, 100.0, 100.0, 160.0, 160.0]


async def test_a_token_is_known_while_another_process_writes(db: Database) -> None:
    admin = await accounts.administrator(db)
    await accounts.create_token(db, admin.id, "s", "ci", at=0.0, expires_at=None)
    async with db.writing():
        assert await accounts.token_user(db, "s", now=100.0) == admin


async def test_a_token_works_while_its_use_cannot_be_noted(db: Database) -> None:
    admin = await accounts.administrator(db)
    await accounts.create_token(db, admin.id, "s", "ci", at=0.0, expires_at=None)
    async with db.writing() as connection:
        await connection.exec_driver_sql("PRAGMA query_only = ON")

    assert await accounts.token_user(db, "s", now=100.0) == admin
    await accounts.note_use(db, "s", now=100.0)
    assert (await accounts.tokens(db, admin.id))[0].last_used_at is None


async def test_what_expired_can_be_forgotten(db: Database) -> None:
    admin = await accounts.administrator(db)
    for secret, end in (("old", 10.0), ("new", 20.0)):
        await accounts.create_session(db, admin.id, secret, "c", expires_at=end)
    await accounts.create_link(db, admin.id, "link", expires_at=10.0)

    await accounts.prune(db, now=10.0)

    assert await accounts.session(db, "old", now=1.0) is None
    assert await accounts.session(db, "new", now=1.0) is not None
    assert not await accounts.peek_link(db, "link", now=1.0)


async def test_anything_may_be_tried_as_a_secret(db: Database) -> None:
    for secret in ("", "\x00", "\udcff", "' OR 1=1 --", "é" * 10_000):
        assert await accounts.session(db, secret, now=1.0) is None
        assert await accounts.token_user(db, secret, now=1.0) is None
        assert await accounts.redeem_link(db, secret, now=1.0) is None


async def test_no_secret_is_in_the_file(db: Database, tmp_path: Path) -> None:
    admin = await accounts.administrator(db)
    assert isinstance(admin, User)
    await accounts.create_session(db, admin.id, "hush-session", "c", expires_at=1.0)
    await accounts.create_link(db, admin.id, "hush-link", expires_at=1.0)
    await accounts.create_token(db, admin.id, "hush-token", "name-of-token", at=0.0, expires_at=None)
    await db.close()

    content = (tmp_path / "data" / "crucible.db").read_bytes()
    assert b"name-of-token" in content
    assert b"hush" not in content
