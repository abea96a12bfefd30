"""What is never granted is refused by its name, however it is written."""

from __future__ import annotations

import pytest

from app.domain.errors import Refused
from app.domain.limits import parse_limits
from app.domain.sandboxes import NEVER, never_granted
from app.task_standard.strict_yaml import parse_yaml
from app.web.asked import require_known
from sandbox_runner.isolation import Isolation, parse_isolation
from sandbox_runner.policy import NOTHING

WISHES = ("Privileged", "privileged", "cap_add", "CapAdd", "extra-hosts", "PidMode", "network_mode", "Devices", "Binds")


@pytest.mark.parametrize("wish", WISHES)
def test_a_wish_beyond_the_walls_is_refused_by_name_wherever_it_is_written(wish: str) -> None:
    with pytest.raises(Refused, match=f"asks for {wish}.*No sandbox gets it"):
        parse_yaml(f"tasks: 1\n{wish}: yes\n".encode(), "manifest.yaml").mapping({"tasks"})
    with pytest.raises(Refused, match=f"asks for {wish}.*No sandbox gets it"):
        require_known({"suite": "demo", wish: True}, frozenset({"suite"}))
    with pytest.raises(Refused, match=f"asks for {wish}.*No sandbox gets it"):
        parse_limits({wish: "1"})


def test_every_setting_of_an_engine_that_no_sandbox_has_has_a_reason() -> None:
    internal = {"Cgroup", "ContainerIDFile", "PublishAllPorts", "VolumeDriver", "MemoryReservation", "DnsOptions"}
    numbers = {name for name in NOTHING if name.startswith(("Blkio", "Cpu", "DnsSearch"))}
    for name in set(NOTHING) - internal - numbers:
        assert never_granted(name), name


def test_a_name_nobody_knows_is_no_such_wish() -> None:
    assert never_granted("polcy") is None
    assert never_granted("") is None
    assert all(key == "".join(letter for letter in key if letter.isalpha()).lower() for key in NEVER)


def test_isolation_is_written_and_read() -> None:
    strict = Isolation(tooling=0, host=1, network=2)
    assert parse_isolation(str(strict)) == strict
    assert "no network" in strict.meaning[2]
    with pytest.raises(ValueError, match="not of the form"):
        parse_isolation("T0.H1")
