from __future__ import annotations

import json
from typing import Any

import pytest

from sandbox_runner.docker_config import container_name, create_body, features_of
from sandbox_runner.driver import StartFailed
from sandbox_runner.policy import SECCOMP, HostFeatures, policy_of, seccomp_of
from sandbox_runner.spec import DEBUG, MIB, STRICT, Network, Role, SandboxLimits, SandboxSpec

NEW_NAMESPACES = 0x7E020000
FORBIDDEN = """
    acct add_key bpf chroot clock_settime delete_module finit_module fsmount init_module io_uring_setup iopl kcmp
    kexec_load keyctl lookup_dcookie memfd_secret modify_ldt mount move_pages name_to_handle_at open_by_handle_at
    open_tree perf_event_open pidfd_getfd pivot_root process_vm_readv process_vm_writev ptrace quotactl reboot
    request_key setns swapon syslog umount2 unshare userfaultfd vhangup vmsplice
"""


def spec(**changes: Any) -> SandboxSpec:
    return SandboxSpec(**{"image": "img:1", "role": Role.AGENT, "instance": "here", "run": "run-1", **changes})


def body(**changes: Any) -> dict[str, Any]:
    asked = spec(**changes)
    return create_body(asked, policy_of(asked, HostFeatures()), "sha256:image")


def host(**changes: Any) -> dict[str, Any]:
    config: dict[str, Any] = body(**changes)["HostConfig"]
    return config


@pytest.mark.parametrize("role", list(Role))
def test_no_role_has_more_than_its_profile_and_none_has_a_way_out(role: Role) -> None:
    config = body(role=role)
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
    for name in ("Binds", "Mounts", "VolumesFrom", "Devices", "DeviceRequests", "ExtraHosts", "Links", "Sysctls"):
        assert walls[name] is None, name  # asked for as nothing, so that a default cannot fill it


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
    assert host(runtime="runsc")["Memory"] == host(runtime="runsc")["MemorySwap"] == (512 + 64) * MIB
    assert host(runtime="runsc")["Runtime"] == "runsc"
    assert host()["Runtime"] == "runc"  # by name: an engine's default can be anything


def test_only_an_image_build_may_be_given_a_network() -> None:
    config = body(role=Role.BUILD, network=Network.BRIDGE)
    assert config["NetworkDisabled"] is False
    assert config["HostConfig"]["NetworkMode"] == "bridge"
    for role in set(Role) - {Role.BUILD}:
        with pytest.raises(StartFailed, match=role.value):
            body(role=role, network=Network.BRIDGE)


def test_process_1_is_the_keeper_with_its_grace_whatever_the_image_says() -> None:
    config = body(grace_seconds=7.5, deadline=99)
    assert config["Entrypoint"] == ["python3", "-ISE", "/opt/crucible/keeper.py"]
    assert config["Cmd"] == ["--grace", "7.5"]
    assert config["User"] == "0:0"
    assert config["OpenStdin"] is True
    assert config["StdinOnce"] is False
    assert config["Tty"] is False
    assert config["Healthcheck"]["Test"] == ["CMD", "true"]
    assert config["Healthcheck"]["Interval"] > 9 * 365 * 24 * 3600 * 10**9  # nanoseconds: never due
    assert config["StopTimeout"] == 2
    assert config["Image"] == "sha256:image"
    digest = policy_of(spec(grace_seconds=7.5), HostFeatures()).sha256
    assert config["Labels"] == {
        "crucible.instance": "here",
        "crucible.run": "run-1",
        "crucible.role": "agent",
        "crucible.policy_sha256": digest,
        "crucible.isolation": "T0.H1.N2",
        "crucible.deadline": "99",
    }


def test_a_policy_is_the_same_for_the_same_walls_whoever_owns_them_and_another_for_any_other() -> None:
    def digest(**changes: Any) -> str:
        return policy_of(spec(**changes), HostFeatures()).sha256

    assert digest() == digest(run="run-2", instance="there", image="img:2", deadline=5)
    others = [
        digest(role=Role.SETUP),
        digest(debug=True),
        digest(runtime="runsc"),
        digest(limits=SandboxLimits(pids=255)),
        digest(grace_seconds=21.0),
        policy_of(spec(), HostFeatures(apparmor=True)).sha256,
    ]
    assert len({digest(), *others}) == 7


def test_a_policy_names_every_setting_an_engine_of_today_has() -> None:
    # HostConfig of Engine 20.10, without what is obsolete since or belongs to Windows and terminals.
    known = """
        AutoRemove Binds BlkioDeviceReadBps BlkioDeviceReadIOps BlkioDeviceWriteBps BlkioDeviceWriteIOps BlkioWeight
        BlkioWeightDevice CapAdd CapDrop Cgroup CgroupParent CgroupnsMode ContainerIDFile CpuPeriod CpuQuota
        CpuRealtimePeriod CpuRealtimeRuntime CpuShares CpusetCpus CpusetMems DeviceCgroupRules DeviceRequests Devices
        Dns DnsOptions DnsSearch ExtraHosts GroupAdd Init IpcMode Links LogConfig MaskedPaths Memory MemoryReservation
        MemorySwap MemorySwappiness Mounts NanoCpus NetworkMode OomKillDisable OomScoreAdj PidMode PidsLimit
        PortBindings Privileged PublishAllPorts ReadonlyPaths ReadonlyRootfs RestartPolicy Runtime SecurityOpt ShmSize
        StorageOpt Sysctls Tmpfs UTSMode Ulimits UsernsMode VolumeDriver VolumesFrom
    """
    assert sorted(host()) == sorted(known.split())


def test_what_lies_in_memory_is_at_most_half_of_it() -> None:
    SandboxLimits.fitting(memory_bytes=64 * MIB, cpus=1, pids=64, home_bytes=22 * MIB)
    fits = SandboxLimits(memory_bytes=100 * MIB, home_bytes=30 * MIB, tmp_bytes=16 * MIB, shared_bytes=4 * MIB)
    host(limits=fits)
    with pytest.raises(StartFailed, match="more than half of the memory"):
        host(
            limits=SandboxLimits(memory_bytes=100 * MIB, home_bytes=31 * MIB, tmp_bytes=16 * MIB, shared_bytes=4 * MIB)
        )


def test_a_file_can_be_as_large_as_its_place_and_no_larger() -> None:
    def largest(**changes: Any) -> int:
        return int(next(each["Hard"] for each in host(**changes)["Ulimits"] if each["Name"] == "fsize"))

    assert largest() == 128 * MIB + 4096
    assert largest(role=Role.SETUP) == 4096 * MIB


def test_what_only_some_kernels_have_is_asked_for_where_it_is() -> None:
    old = features_of({"CgroupVersion": "1", "SecurityOptions": ["name=apparmor", "name=seccomp,profile=default"]})
    new = features_of({"CgroupVersion": "2", "SecurityOptions": ["name=seccomp,profile=builtin", "name=cgroupns"]})
    assert (old, new) == (HostFeatures(apparmor=True, swappiness=True), HostFeatures())
    walls = policy_of(spec(), old).host_config
    assert walls["SecurityOpt"][-1] == "apparmor=docker-default"
    assert walls["MemorySwappiness"] == 0
    assert host()["MemorySwappiness"] is None


def test_the_debug_profile_is_the_strict_one_and_ptrace() -> None:
    strict, debug = json.loads(seccomp_of(STRICT)), json.loads(seccomp_of(DEBUG))
    added = [rule for rule in debug["syscalls"] if rule not in strict["syscalls"]]
    assert [rule["names"] for rule in added] == [["ptrace"]]
    assert {**debug, "syscalls": strict["syscalls"]} == strict
    changed = {name for name, value in host(debug=True).items() if value != host()[name]}
    assert changed == {"SecurityOpt"}
    assert host(debug=True, role=Role.SETUP) == host(role=Role.SETUP)  # root never traces


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
