"""What the host's own files say of a sandbox's process and network."""

from __future__ import annotations

from pathlib import Path

from sandbox_runner.witness import look_at

DEV = "Inter-|   Receive\n face |bytes\n{}"
LO_6 = "0 00 0 00 0 ffffffff 00000001 00000000 00200200       lo\n"


def proc(
    folder: Path, *, dev: str = "    lo: 0 0\n", routes: str = "", routes_6: str = LO_6, net: str = "net:[2]"
) -> str:
    for pid, name in (("7", net), ("self", "net:[1]")):
        (folder / pid / "ns").mkdir(parents=True)
        (folder / pid / "ns" / "net").symlink_to(name)
    inside = folder / "7" / "net"
    inside.mkdir()
    (inside / "dev").write_text(DEV.format(dev))
    (inside / "route").write_text("Iface\tDestination\n" + routes)
    (inside / "ipv6_route").write_text(routes_6)
    (folder / "7" / "cmdline").write_text("python3\0-ISE\0")
    return str(folder)


def test_a_loopback_in_a_namespace_of_its_own_is_alone(tmp_path: Path) -> None:
    seen = look_at(7, proc=proc(tmp_path, dev="    lo: 0 0\n tunl0: 0 0\n  sit0: 0 0\n"))
    assert seen is not None
    assert seen.alone
    assert not seen.gvisor


def test_an_interface_a_route_or_the_hosts_namespace_is_not_alone(tmp_path: Path) -> None:
    for number, changes in enumerate(
        (
            {"dev": "    lo: 0 0\n  eth0: 0 0\n"},
            {"routes": "eth0\t00000000\n"},
            {"routes_6": LO_6 + LO_6.replace("lo", "eth0")},
            {"net": "net:[1]"},
        )
    ):
        seen = look_at(7, proc=proc(tmp_path / str(number), **changes))
        assert seen is not None
        assert not seen.alone, changes
        assert str(seen)


def test_what_cannot_be_looked_at_is_not_seen(tmp_path: Path) -> None:
    assert look_at(8, proc=proc(tmp_path)) is None
