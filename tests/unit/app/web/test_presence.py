"""Who watches a run: people by session, as long as a stream is open and a page is before their eyes."""

from __future__ import annotations

from app.supervision.doorbell import Doorbell
from app.web.live.presence import Presence
from app.web.live.rung import rung_since
from app.web.parts import WatcherView


async def test_a_person_watches_while_the_stream_is_open_and_the_run_rings_for_both() -> None:
    doorbell = Doorbell()
    presence = Presence(doorbell)
    with doorbell.listen(7) as bell:
        with presence.watch(session="a", name="ann", runs={7}):
            assert presence.of(7) == (WatcherView(name="ann", sessions=1),)
            assert await rung_since(bell) == {7}
        assert presence.of(7) == ()
        assert await rung_since(bell) == {7}


def test_two_streams_of_one_session_are_one_watcher_and_two_sessions_are_two() -> None:
    presence = Presence(Doorbell())
    with (
        presence.watch(session="a", name="ann", runs={7}),
        presence.watch(session="a", name="ann", runs={7}),
        presence.watch(session="b", name="ann", runs={7}),
        presence.watch(session="c", name="ben", runs={7}),
    ):
        assert presence.of(7) == (WatcherView(name="ann", sessions=2), WatcherView(name="ben", sessions=1))


def test_what_is_seen_changes_while_the_stream_stays_and_only_by_its_own_session() -> None:
    presence = Presence(Doorbell())
    with presence.watch(session="a", name="ann", runs={7}) as key:
        assert presence.see(key, {8}, session="a")
        assert (presence.of(7), len(presence.of(8))) == ((), 1)
        assert not presence.see(key, set(), session="b")
        assert len(presence.of(8)) == 1
    assert not presence.see(key, {8}, session="a")


def test_a_name_that_acts_is_made_visible() -> None:
    presence = Presence(Doorbell())
    with presence.watch(session="a", name="a\u202eb", runs={7}):
        assert presence.of(7)[0].name == "a\\u202eb"
