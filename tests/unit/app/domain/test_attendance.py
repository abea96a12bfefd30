"""When an attended run is warned of, frozen and stopped."""

from __future__ import annotations

import pytest

from app.domain.attendance import Stage, stage_after, until_next


@pytest.mark.parametrize(
    ("unattended", "stage", "left"),
    [
        (0, Stage.ATTENDED, 300),
        (299, Stage.ATTENDED, 1),
        (300, Stage.WARNED, 60),
        (360, Stage.FROZEN, 60),
        (420, Stage.STOPPED, 0),
        (9999, Stage.STOPPED, 0),
    ],
)
def test_after_the_limit_a_minute_to_show_up_and_another_standing_still(
    unattended: float, stage: Stage, left: float
) -> None:
    assert (stage_after(unattended, 300), until_next(unattended, 300)) == (stage, left)


def test_who_allows_less_than_a_minute_gives_no_more_notice_than_that() -> None:
    assert [stage_after(seconds, 10) for seconds in (9, 10, 20, 30)] == list(Stage)
