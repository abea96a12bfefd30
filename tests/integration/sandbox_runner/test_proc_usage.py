"""Disk and network from /proc: ordinary files stand in for a host's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sandbox_runner.cgroups import UNIFIED, ContainerCgroup
from sandbox_runner.proc_usage import ProcUsage, refused_v4, refused_v6

SNMP = """\
Ip: Forwarding DefaultTTL OutDiscards OutNoRoutes
Ip: 1 64 0 {routes}
Icmp: InMsgs OutMsgs
Icmp: 4 5
Tcp: RtoAlgorithm MaxConn ActiveOpens
Tcp: 1 -1 9
Udp: InDatagrams NoPorts InErrors
Udp: 7 {ports} 8
UdpLite: InDatagrams NoPorts
UdpLite: 0 0
"""


def _process(proc: Path, pid: int, *, written: int = 0, cancelled: int = 0) -> None:
    (proc / str(pid) / "net").mkdir(parents=True)
    (proc / f"{pid}/cmdline").write_bytes(b"python3\0-ISE\0/opt/crucible/keeper.py\0--grace\0" + b"20\0")
    _wrote(proc, pid, written, cancelled)
    _network(proc, pid, routes=0, ports=0)


def _wrote(proc: Path, pid: int, written: int, cancelled: int = 0) -> None:
    text = f"rchar: 1\nread_bytes: 2\nwrite_bytes: {written}\ncancelled_write_bytes: {cancelled}\n"
    (proc / f"{pid}/io").write_text(text)


def _network(proc: Path, pid: int, *, routes: int, ports: int, v6: int = 0) -> None:
    (proc / f"{pid}/net/snmp").write_text(SNMP.format(routes=routes, ports=ports))
    (proc / f"{pid}/net/snmp6").write_text(f"Ip6InReceives \t1\nIp6OutNoRoutes \t{v6}\nUdp6NoPorts 1\n")


def test_what_found_no_way_out_is_counted_and_nothing_else() -> None:
    assert refused_v4(SNMP.format(routes=5, ports=2)) == 5
    assert refused_v6("Ip6OutNoRoutes   3\nUdp6NoPorts 4\nIp6OutRequests 99\nnonsense\n") == 3
    assert refused_v4("") == 0


def test_the_network_is_read_anew_through_descriptors_that_are_closed(tmp_path: Path) -> None:
    _process(tmp_path, 41)
    before = len(os.listdir("/proc/self/fd"))
    usage = ProcUsage(41, proc=str(tmp_path))
    assert usage.network_attempts() == 0
    _network(tmp_path, 41, routes=2, ports=3, v6=4)
    assert usage.network_attempts() == 6
    usage.close()
    usage.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_runtime_with_a_network_of_its_own_tells_no_attempts(tmp_path: Path) -> None:
    _process(tmp_path, 41)
    (tmp_path / "41/cmdline").write_bytes(b"runsc-sandbox\0--network=none\0boot\0")

    assert ProcUsage(41, proc=str(tmp_path)).network_attempts() is None


def test_a_kernel_without_ipv6_still_tells_the_rest(tmp_path: Path) -> None:
    _process(tmp_path, 41)
    _network(tmp_path, 41, routes=2, ports=0)
    (tmp_path / "41/net/snmp6").unlink()

    assert ProcUsage(41, proc=str(tmp_path)).network_attempts() == 2


def test_files_out_of_reach_tell_nothing(tmp_path: Path) -> None:
    usage = ProcUsage(41, proc=str(tmp_path))

    assert usage.network_attempts() is None


def test_what_processes_wrote_never_falls_when_they_end(tmp_path: Path) -> None:
    _process(tmp_path, 41, written=1000)
    _process(tmp_path, 42, written=9000, cancelled=500)
    usage = ProcUsage(41, proc=str(tmp_path))

    assert usage.disk_written_bytes([41, 42]) == 9500
    assert usage.disk_written_bytes([41]) == 9500
    _wrote(tmp_path, 41, 9600)
    assert usage.disk_written_bytes([41, 43]) == 9600


def test_a_host_that_hides_what_others_wrote_tells_nothing(tmp_path: Path) -> None:
    _process(tmp_path, 41, written=1000)
    (tmp_path / "41/io").unlink()
    (tmp_path / "41/io").mkdir()  # cannot be read, as for a user who may not

    assert ProcUsage(41, proc=str(tmp_path)).disk_written_bytes([41]) is None


@pytest.mark.parametrize("io_stat", [True, False])
def test_the_cgroup_s_own_figure_of_the_disk_goes_first(tmp_path: Path, io_stat: bool) -> None:
    _process(tmp_path, 41, written=1000)
    folder = tmp_path / "cgroup"
    folder.mkdir()
    for name, text in {"cpu.stat": "usage_usec 1\n", "memory.current": "5\n", "pids.current": "1\n"}.items():
        (folder / name).write_text(text)
    (folder / "cgroup.procs").write_text("41\n")
    if io_stat:
        (folder / "io.stat").write_text("8:0 rbytes=9 wbytes=300 rios=1 wios=1\n8:16 rbytes=0 wbytes=44 rios=0\n")
    cgroup = ContainerCgroup({UNIFIED: str(folder)}, ProcUsage(41, proc=str(tmp_path)))

    usage = cgroup.usage(1.0)

    assert usage is not None
    assert usage.disk_written_bytes == (344 if io_stat else 1000)
    assert usage.network_attempts == 0
    cgroup.close()


def test_disk_and_network_are_read_again_after_half_a_second_whichever_way_the_clock_goes(tmp_path: Path) -> None:
    _process(tmp_path, 41)
    folder = tmp_path / "cgroup"
    folder.mkdir()
    for name in ("cpu.stat", "memory.current", "pids.current", "cgroup.procs"):
        (folder / name).write_text("usage_usec 1\n" if name == "cpu.stat" else "41\n")
    cgroup = ContainerCgroup({UNIFIED: str(folder)}, ProcUsage(41, proc=str(tmp_path)))

    def attempts(at: float, routes: int) -> int | None:
        _network(tmp_path, 41, routes=routes, ports=0)
        usage = cgroup.usage(at)
        assert usage is not None
        return usage.network_attempts

    assert [attempts(100.0, 1), attempts(100.3, 2), attempts(100.5, 3), attempts(50.0, 4)] == [1, 1, 3, 4]
    cgroup.close()
