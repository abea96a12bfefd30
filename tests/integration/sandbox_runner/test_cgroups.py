"""Reading and steering cgroup files: trees of ordinary files stand in for each layout a host may have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sandbox_runner.cgroups import UNIFIED, ContainerCgroup, locate
from sandbox_runner.driver import SandboxGone, Usage
from sandbox_runner.spec import MIB

ID = "0123456789abcdef" * 4


def _write(directory: Path, **files: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (directory / name.replace("__", ".")).write_text(text)
    return directory


@pytest.fixture
def v1(tmp_path: Path) -> dict[str, Path]:
    return {
        "pids": _write(
            tmp_path / "pids" / "docker" / ID,
            cgroup__procs="41\n42\n",
            pids__current="5\n",
            pids__events="max 7\n",
        ),
        "memory": _write(
            tmp_path / "memory" / "docker" / ID,
            memory__usage_in_bytes=f"{100 * MIB}\n",
            memory__max_usage_in_bytes=f"{120 * MIB}\n",
            memory__stat=f"cache 1\ninactive_file 1\ntotal_cache 5\ntotal_inactive_file {30 * MIB}\n",
            memory__oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
        ),
        "cpuacct": _write(tmp_path / "cpuacct" / "docker" / ID, cpuacct__usage="2500000000\n"),
        "freezer": _write(tmp_path / "freezer" / "docker" / ID, freezer__state="THAWED\n"),
    }


@pytest.fixture
def v2(tmp_path: Path) -> Path:
    return _write(
        tmp_path / "unified" / "docker" / ID,
        cgroup__procs="41\n42\n",
        cgroup__kill="",
        cgroup__freeze="0\n",
        cgroup__events="populated 1\nfrozen 0\n",
        cpu__stat="usage_usec 2500000\nuser_usec 2000000\n",
        memory__current=f"{100 * MIB}\n",
        memory__peak=f"{120 * MIB}\n",
        memory__stat=f"anon 5\ninactive_file {30 * MIB}\nactive_file 1\n",
        memory__events="low 0\nhigh 0\nmax 9\noom 3\noom_kill 2\noom_group_kill 0\n",
        pids__current="5\n",
        pids__events="max 7\n",
    )


def _of_v1(v1: dict[str, Path]) -> ContainerCgroup:
    return ContainerCgroup({name: str(path) for name, path in v1.items()})


def _of_v2(v2: Path) -> ContainerCgroup:
    return ContainerCgroup({UNIFIED: str(v2)})


EXPECTED = Usage(
    at=9.5,
    cpu_seconds=2.5,
    memory_bytes=70 * MIB,
    pids=5,
    memory_peak_bytes=120 * MIB,
    out_of_memory_kills=2,
    pids_refused=7,
)


def test_v1_and_v2_tell_the_same_usage(v1: dict[str, Path], v2: Path) -> None:
    assert _of_v1(v1).usage(9.5) == EXPECTED
    assert _of_v2(v2).usage(9.5) == EXPECTED


def test_a_later_sample_reads_the_files_anew(v2: Path) -> None:
    cgroup = _of_v2(v2)
    cgroup.usage(1.0)
    (v2 / "pids.current").write_text("6\n")

    usage = cgroup.usage(2.0)
    assert usage is not None
    assert usage.pids == 6
    cgroup.close()
    assert cgroup.usage(3.0) is not None
    cgroup.close()


def test_samples_leave_no_descriptor_behind(v1: dict[str, Path]) -> None:
    before = len(os.listdir("/proc/self/fd"))
    cgroup = _of_v1(v1)
    for _ in range(3):
        cgroup.usage(1.0)
    assert len(os.listdir("/proc/self/fd")) > before
    cgroup.close()
    cgroup.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_figures_an_old_kernel_lacks_are_left_out(v2: Path) -> None:
    (v2 / "memory.peak").unlink()
    (v2 / "pids.events").unlink()

    usage = _of_v2(v2).usage(1.0)
    assert usage is not None
    assert (usage.memory_peak_bytes, usage.pids_refused) == (None, 0)


@pytest.mark.parametrize("name", ["memory.current", "pids.current", "cpu.stat"])
def test_a_host_without_a_controller_tells_no_usage(v2: Path, name: str) -> None:
    (v2 / name).unlink()

    assert _of_v2(v2).usage(1.0) is None


def test_a_removed_container_has_no_processes_and_no_usage(v2: Path) -> None:
    cgroup = _of_v2(v2)
    for path in v2.iterdir():
        path.unlink()
    v2.rmdir()

    assert cgroup.procs() == []
    assert not cgroup.frozen()
    assert not cgroup.freeze()
    assert not cgroup.thaw()
    assert not cgroup.kill()
    with pytest.raises(SandboxGone):
        cgroup.usage(1.0)


def test_processes_of_cgroups_below_count(v2: Path) -> None:
    _write(v2 / "inner", cgroup__procs="43\n")
    _write(v2 / "inner" / "deeper", cgroup__procs="44\n42\n")

    assert _of_v2(v2).procs() == [41, 42, 43, 44]


def test_a_list_of_processes_that_cannot_be_read_is_not_taken_for_death(v2: Path) -> None:
    (v2 / "cgroup.procs").unlink()
    (v2 / "cgroup.procs").mkdir()

    with pytest.raises(IsADirectoryError):
        _of_v2(v2).procs()


def test_v1_is_frozen_only_when_the_kernel_says_so(v1: dict[str, Path]) -> None:
    cgroup, state = _of_v1(v1), v1["freezer"] / "freezer.state"

    assert cgroup.freeze()
    assert state.read_text().startswith("FROZEN")
    state.write_text("FREEZING\n")
    assert not cgroup.frozen()
    state.write_text("FROZEN\n")
    assert cgroup.frozen()
    assert cgroup.thaw()
    assert state.read_text().startswith("THAWED")


def test_v2_is_frozen_only_when_the_kernel_says_so(v2: Path) -> None:
    cgroup = _of_v2(v2)

    assert cgroup.freeze()
    assert (v2 / "cgroup.freeze").read_text().startswith("1")
    assert not cgroup.frozen()
    (v2 / "cgroup.events").write_text("populated 1\nfrozen 1\n")
    assert cgroup.frozen()
    assert cgroup.thaw()
    assert (v2 / "cgroup.freeze").read_text().startswith("0")


def test_a_hybrid_host_freezes_by_v1_and_thaws_both(v1: dict[str, Path], v2: Path) -> None:
    cgroup = ContainerCgroup({**{name: str(path) for name, path in v1.items()}, UNIFIED: str(v2)})

    cgroup.freeze()
    assert (v1["freezer"] / "freezer.state").read_text().startswith("FROZEN")
    assert (v2 / "cgroup.freeze").read_text().startswith("0")
    (v2 / "cgroup.freeze").write_text("1\n")
    cgroup.thaw()
    assert (v1["freezer"] / "freezer.state").read_text().startswith("THAWED")
    assert (v2 / "cgroup.freeze").read_text().startswith("0")


def test_killing_at_once_is_offered_by_v2_only(v1: dict[str, Path], v2: Path) -> None:
    assert not _of_v1(v1).kill()
    assert _of_v2(v2).kill()
    assert (v2 / "cgroup.kill").read_text() == "1"


def test_a_kernel_without_the_kill_file_is_not_given_one(v2: Path) -> None:
    (v2 / "cgroup.kill").unlink()

    assert not _of_v2(v2).kill()
    assert not (v2 / "cgroup.kill").exists()


def test_a_container_is_found_by_a_process_of_it(tmp_path: Path, v2: Path) -> None:
    proc = tmp_path / "proc"
    _write(proc / "41", cgroup=f"0::/docker/{ID}\n")
    _write(proc / "99", cgroup="0::/user.slice\n")
    _write(proc / "self", mountinfo=f"35 24 0:30 / {tmp_path}/unified rw - cgroup2 cgroup2 rw\n")

    found = locate(41, ID, proc=str(proc))
    assert found is not None
    assert dict(found.directories) == {UNIFIED: str(v2)}
    assert found.procs() == [41, 42]
    assert locate(99, ID, proc=str(proc)) is None
    assert locate(100, ID, proc=str(proc)) is None


def test_a_cgroup_this_host_does_not_show_is_not_found(tmp_path: Path) -> None:
    proc = tmp_path / "proc"
    _write(proc / "41", cgroup=f"0::/docker/{ID}\n")
    _write(proc / "self", mountinfo=f"35 24 0:30 / {tmp_path}/elsewhere rw - cgroup2 cgroup2 rw\n")

    assert locate(41, ID, proc=str(proc)) is None
