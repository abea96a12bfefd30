from __future__ import annotations

import pytest

from sandbox_runner.cgroups import UNIFIED, container_directories, locate

ID = "0123456789abcdef" * 4

V1_MOUNTS = r"""
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:10 - cgroup cgroup rw,memory
37 31 0:34 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
"""
UNIFIED_BESIDE_V1 = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n"
V2_MOUNTS = "35 24 0:30 / /sys/fs/cgroup rw,nosuid,nodev shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"


def test_v1_has_a_directory_for_every_controller() -> None:
    memberships = f"12:pids:/docker/{ID}\n4:cpu,cpuacct:/docker/{ID}\n5:memory:/docker/{ID}\n2:freezer:/docker/{ID}\n"

    assert container_directories(memberships, V1_MOUNTS, ID) == {
        "pids": f"/sys/fs/cgroup/pids/docker/{ID}",
        "cpu": f"/sys/fs/cgroup/cpu,cpuacct/docker/{ID}",
        "cpuacct": f"/sys/fs/cgroup/cpu,cpuacct/docker/{ID}",
        "memory": f"/sys/fs/cgroup/memory/docker/{ID}",
        "freezer": f"/sys/fs/cgroup/freezer/docker/{ID}",
    }


def test_a_hybrid_host_has_the_unified_hierarchy_beside_v1() -> None:
    memberships = f"12:pids:/docker/{ID}\n0::/docker/{ID}\n"

    assert container_directories(memberships, V1_MOUNTS + UNIFIED_BESIDE_V1, ID) == {
        "pids": f"/sys/fs/cgroup/pids/docker/{ID}",
        UNIFIED: f"/sys/fs/cgroup/unified/docker/{ID}",
    }


@pytest.mark.parametrize(
    "path",
    [
        f"/docker/{ID}",
        f"/system.slice/docker-{ID}.scope",
        f"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ID}.scope",
    ],
)
def test_v2_has_one_directory_however_the_engine_names_it(path: str) -> None:
    assert container_directories(f"0::{path}\n", V2_MOUNTS, ID) == {UNIFIED: f"/sys/fs/cgroup{path}"}


def test_a_cgroup_the_container_made_for_itself_does_not_hide_its_other_processes() -> None:
    memberships = f"0::/system.slice/docker-{ID}.scope/inner/deeper\n"

    assert container_directories(memberships, V2_MOUNTS, ID) == {
        UNIFIED: f"/sys/fs/cgroup/system.slice/docker-{ID}.scope"
    }


@pytest.mark.parametrize("path", ["/", "/user.slice", f"/docker/{ID[::-1]}", f"/docker/{ID[:32]}"])
def test_a_process_of_another_cgroup_is_never_taken_for_the_container(path: str) -> None:
    assert container_directories(f"0::{path}\n5:memory:{path}\n", V2_MOUNTS + V1_MOUNTS, ID) == {}


def test_a_mount_that_shows_only_a_part_of_the_hierarchy_is_understood() -> None:
    mounts = "35 24 0:30 /outer/box /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"

    assert container_directories(f"0::/outer/box/docker/{ID}\n", mounts, ID) == {UNIFIED: f"/sys/fs/cgroup/docker/{ID}"}
    assert container_directories(f"0::/outer/boxer/docker/{ID}\n", mounts, ID) == {}


def test_signs_the_kernel_escapes_in_mount_points_are_read_back() -> None:
    mounts = r"35 24 0:30 / /mnt/my\040groups rw - cgroup2 cgroup2 rw" + "\n"

    assert container_directories(f"0::/docker/{ID}\n", mounts, ID) == {UNIFIED: f"/mnt/my groups/docker/{ID}"}


def test_lines_that_mean_nothing_are_passed_over() -> None:
    assert container_directories("\nrubbish\n0::\n:::\n", "rubbish\n - \n1 2 3\n", ID) == {}


@pytest.mark.parametrize("container_id", ["", "abc", ID[:11]])
def test_an_id_too_short_to_be_unique_is_refused(container_id: str) -> None:
    with pytest.raises(ValueError, match="too short"):
        locate(1, container_id)
