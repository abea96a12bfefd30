from __future__ import annotations

import json
from typing import Any

import pytest

from sandbox_runner.docker_config import SECCOMP, container_config, container_name
from sandbox_runner.driver import StartFailed
from sandbox_runner.spec import MIB, Network, Role, SandboxLimits, SandboxSpec

NEW_NAMESPACES = 0x7E020000
FORBIDDEN = """
    acct add_key bpf chroot clock_settime delete_module finit_module fsmount init_module io_uring_setup iopl kcmp
    kexec_load keyctl lookup_dcookie memfd_secret modify_ldt mount move_pages name_to_handle_at open_by_handle_at
    open_tree perf_event_open pidfd_getfd pivot_root process_vm_readv process_vm_writev ptrace quotactl reboot
    request_key setns swapon syslog umount2 unshare userfaultfd vhangup vmsplice
"""


def spec(**changes: Any) -> SandboxSpec:
    return SandboxSpec(**{"image": "img:1", "role": Role.AGENT, "instance": "here", "run": "run-1", **changes})


def host(**changes: Any) -> dict[str, Any]:
    config: dict[str, Any] = container_config(spec(**changes))["HostConfig"]
    return config


@pytest.mark.parametrize("role", list(Role))
def test_no_role_has_more_than_its_profile_and_none_has_a_way_out(role: Role) -> None:
    config = container_config(spec(role=role))
    walls = config["HostConfig"]
    assert config["NetworkDisabled"] is True
    assert walls["NetworkMode"] == "none"
    assert walls["Dns"] == ["127.0.0.1"]
    assert walls["CapDrop"] == ["ALL"]
    assert set(walls["CapAdd"]) <= {"CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETPCAP", "SETUID"}
    assert walls["Privileged"] is False
    assert walls["SecurityOpt"] == ["no-new-privileges", f"seccomp={SECCOMP}"]
    assert (walls["IpcMode"], walls["CgroupnsMode"], walls["PidMode"], walls["UTSMode"]) == (
        "private",
        "private",
        "",
        "",
    )
    assert walls["LogConfig"]["Type"] == "none"
    assert walls["RestartPolicy"]["Name"] == "no"
    assert walls["AutoRemove"] is False
    assert not {"Binds", "Mounts", "VolumesFrom", "Devices", "DeviceRequests", "ExtraHosts", "Links"} & walls.keys()


def test_an_agent_has_only_the_keepers_rights_beside_it_and_a_root_it_cannot_write() -> None:
    assert host()["CapAdd"] == ["KILL", "SETGID", "SETPCAP", "SETUID"]
    assert host()["ReadonlyRootfs"] is True
    assert host(role=Role.SETUP)["ReadonlyRootfs"] is False
    assert list(host(role=Role.SETUP)["Tmpfs"]) == ["/tmp"]


def test_limits_are_the_engines_hard_ones_and_swap_is_none() -> None:
    limits = SandboxLimits(
        memory_bytes=256 * MIB, cpus=0.5, pids=99, home_bytes=5 * MIB, tmp_bytes=6 * MIB, open_files=77
    )
    walls = host(limits=limits)
    assert walls["Memory"] == walls["MemorySwap"] == 256 * MIB
    assert walls["NanoCpus"] == 500_000_000
    assert walls["PidsLimit"] == 99
    assert {"Name": "nofile", "Soft": 77, "Hard": 77} in walls["Ulimits"]
    assert {"Name": "core", "Soft": 0, "Hard": 0} in walls["Ulimits"]
    assert f"size={5 * MIB}" in walls["Tmpfs"]["/home/agent"].split(",")
    assert {"uid=1000", "gid=1000", "nosuid", "nodev"} <= set(walls["Tmpfs"]["/home/agent"].split(","))
    assert f"size={6 * MIB}" in walls["Tmpfs"]["/tmp"].split(",")


def test_gvisor_has_room_for_its_own_threads() -> None:
    assert host(runtime="runsc")["PidsLimit"] == 64 + 8 * 256
    assert host(runtime="runsc")["Runtime"] == "runsc"
    assert "Runtime" not in host()


def test_only_an_image_build_may_be_given_a_network() -> None:
    config = container_config(spec(role=Role.BUILD, network=Network.BRIDGE))
    assert config["NetworkDisabled"] is False
    assert config["HostConfig"]["NetworkMode"] == "bridge"
    for role in set(Role) - {Role.BUILD}:
        with pytest.raises(StartFailed, match=role.value):
            container_config(spec(role=role, network=Network.BRIDGE))


def test_process_1_is_the_keeper_with_its_grace_whatever_the_image_says() -> None:
    config = container_config(spec(grace_seconds=7.5))
    assert config["Entrypoint"] == ["python3", "-ISE", "/opt/crucible/keeper.py"]
    assert config["Cmd"] == ["--grace", "7.5"]
    assert config["User"] == "0:0"
    assert config["OpenStdin"] is True
    assert config["StdinOnce"] is False
    assert config["Tty"] is False
    assert config["Healthcheck"] == {"Test": ["NONE"]}
    assert config["Labels"] == {"crucible.instance": "here", "crucible.run": "run-1", "crucible.role": "agent"}


def test_a_name_is_one_whatever_the_run_is_called() -> None:
    assert container_name(spec(run="a/b c;$(x)"), "beef") == "crucible-a-b-c---x--agent-beef"
    assert len(container_name(spec(run="r" * 500), "beef")) < 128


def rules(name: str) -> list[dict[str, Any]]:
    return [rule for rule in json.loads(SECCOMP)["syscalls"] if name in rule["names"]]


def test_the_system_call_filter_is_a_list_of_what_is_allowed() -> None:
    profile = json.loads(SECCOMP)
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    assert all(arch["subArchitectures"] == [] for arch in profile["archMap"])  # no 32-bit way around it
    for name in FORBIDDEN.split():
        assert rules(name) == [], name


def test_sockets_are_of_four_families_and_children_get_no_namespace() -> None:
    families = {rule["args"][0]["value"]: rule["args"] for rule in rules("socket")}
    assert families.keys() == {1, 2, 10, 16}
    assert [(arg["index"], arg["value"]) for arg in families[16]] == [(0, 16), (2, 0)]  # netlink for routes only
    (clone,) = rules("clone")
    assert clone["args"] == [{"index": 0, "value": NEW_NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]
    (clone3,) = rules("clone3")
    assert (clone3["action"], clone3["errnoRet"]) == ("SCMP_ACT_ERRNO", 38)


def test_no_call_with_a_condition_is_also_allowed_without_one() -> None:
    profile = json.loads(SECCOMP)
    conditional = {name for rule in profile["syscalls"] if rule["args"] for name in rule["names"]}
    free = {name for rule in profile["syscalls"] if not rule["args"] for name in rule["names"]}
    assert conditional & free == set()
