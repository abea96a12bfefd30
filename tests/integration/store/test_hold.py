"""The hold outlives the server; who set and released it is in the audit."""

from __future__ import annotations

from app.store import audit, hold
from app.store.database import Database
from app.store.hold import Hold


async def test_the_first_hold_stays_and_every_press_is_told(db: Database) -> None:
    assert await hold.current(db) is None

    await hold.set_hold(db, actor="ada", text="smoke", at=1.0)
    await hold.set_hold(db, actor="bob", text="smoke too", at=2.0)

    assert await hold.current(db) == Hold(actor="ada", text="smoke", at=1.0)
    assert [(each.actor, each.action, each.subject, each.detail, each.at) for each in await audit.read(db)] == [
        ("bob", "hold.set", "queue", "smoke too", 2.0),
        ("ada", "hold.set", "queue", "smoke", 1.0),
    ]


async def test_what_was_recorded_later_says_so_in_the_audit_alone(db: Database) -> None:
    await hold.set_hold(db, actor="ada", text="smoke", at=1.0, note="recorded later")

    assert await hold.current(db) == Hold(actor="ada", text="smoke", at=1.0)
    (told,) = await audit.read(db)
    assert (told.at, told.detail) == (1.0, "smoke (recorded later)")


async def test_a_hold_is_released_once(db: Database) -> None:
    assert not await hold.release(db, actor="ada", text="", at=1.0)
    await hold.set_hold(db, actor="ada", text="smoke", at=2.0)

    assert await hold.release(db, actor="bob", text="only dust", at=3.0)
    assert not await hold.release(db, actor="bob", text="", at=4.0)

    assert await hold.current(db) is None
    assert [(each.actor, each.action, each.detail) for each in await audit.read(db)] == [
        ("bob", "hold.release", "only dust"),
        ("ada", "hold.set", "smoke"),
    ]


async def test_a_hold_is_there_after_opening_again(db: Database, url: str) -> None:
    await hold.set_hold(db, actor="ada", text="smoke", at=1.0)
    await db.close()

    again = await Database.open(url)
    assert await hold.current(again) is not None
    await again.close()


async def test_the_audit_is_read_newest_first_in_pages(db: Database) -> None:
    for number in range(7):
        await audit.append(db, at=float(number), actor="ada", action="step", subject=f"run {number}", detail="é\x00")

    pages = await audit.read(db, limit=3)
    assert [each.at for each in pages] == [6.0, 5.0, 4.0]
    assert pages[0].detail == "é\ufffd"
    assert [each.at for each in await audit.read(db, before=pages[-1].id)] == [3.0, 2.0, 1.0, 0.0]
