"""What is wrong with the machine is an alert of no run, and is resolved when it is well again."""

from __future__ import annotations

from app.domain.alerts import AlertStatus, Severity
from app.store import alerts
from app.supervision.host_alerts import ENGINE, WARDEN
from tests.integration.supervision.conftest import House, OpenHouse, knobs

OPEN = {AlertStatus.OPEN}


async def rules(house: House, statuses: set[AlertStatus]) -> list[str]:
    return [alert.finding.rule for alert in await alerts.select(house.db, statuses=statuses)]


async def test_an_engine_that_goes_away_is_an_alert_until_it_is_back(open_house: OpenHouse) -> None:
    async with open_house(knobs()) as house:
        await house.until_true(lambda: reachable(house, True))
        assert await rules(house, OPEN) == []
        house.driver.engine_down = True
        await house.supervisor._watch.look()

        async def open_one() -> bool:
            return await rules(house, OPEN) == [ENGINE.rule]

        await house.until_true(open_one)
        (alert,) = await alerts.select(house.db, statuses=OPEN)
        assert alert.run is None
        assert alert.finding.severity is Severity.HIGH
        assert "switched off" in alert.finding.quote
        house.driver.engine_down = False
        await house.supervisor._watch.look()

        async def resolved() -> bool:
            return await rules(house, {AlertStatus.RESOLVED}) == [ENGINE.rule]

        await house.until_true(resolved)
        assert await rules(house, OPEN) == []


async def reachable(house: House, wanted: bool) -> bool:
    return house.supervisor.engine.reachable is wanted


async def test_what_an_earlier_server_left_open_is_resolved_and_what_comes_again_is_counted(
    open_house: OpenHouse,
) -> None:
    async with open_house(knobs()) as house:
        host = house.supervisor._host
        await alerts.record(house.db, None, WARDEN, at=1.0, action="notified")
        host.wrong(WARDEN, "ended with -9")

        async def twice() -> bool:
            return [alert.count for alert in await alerts.select(house.db, statuses=OPEN)] == [2]

        await house.until_true(twice)
        host.well(WARDEN)
        host.well(WARDEN)

        async def none() -> bool:
            return await rules(house, OPEN) == []

        await house.until_true(none)
        assert await rules(house, {AlertStatus.RESOLVED}) == [WARDEN.rule]
