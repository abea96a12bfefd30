"""Settings are read once, and a typing error is an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.domain.errors import Refused
from app.settings import SHIPPED_SUITES, Settings, from_environment


def test_without_variables_the_defaults_hold_and_foreign_variables_are_ignored() -> None:
    assert from_environment({"PATH": "/bin", "CRUCIBLE_BASE_FROM": "x"}) == Settings()


def test_each_kind_of_value_is_read() -> None:
    written = {"DATA": "/var/x", "PORT": "9", "BUILD_NETWORK": "yes", "GRACE_SECONDS": "5.5"}
    settings = from_environment({f"CRUCIBLE_{name}": value for name, value in written.items()})
    assert (settings.data, settings.port, settings.build_network, settings.grace_seconds) == (
        Path("/var/x"),
        9,
        True,
        5.5,
    )


def test_what_ships_is_looked_for_after_the_own_folder_and_once() -> None:
    assert from_environment({"CRUCIBLE_SUITES": "/mine"}).suite_folders == (Path("/mine"), SHIPPED_SUITES)
    assert Settings().suite_folders == (SHIPPED_SUITES,)


def test_a_mistyped_setting_comes_with_the_one_that_was_meant() -> None:
    with pytest.raises(Refused, match="Did you mean CRUCIBLE_PORT"):
        from_environment({"CRUCIBLE_PROT": "9"})


@pytest.mark.parametrize(
    "variable", [("CRUCIBLE_PROT", "9"), ("CRUCIBLE_PORT", "nine"), ("CRUCIBLE_BUILD_NETWORK", "perhaps")]
)
def test_an_unknown_or_unreadable_setting_is_refused_by_name(variable: tuple[str, str]) -> None:
    with pytest.raises(Refused, match=variable[0]):
        from_environment(dict([variable]))
