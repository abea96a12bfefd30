"""What an agent's container is: as the engine tells it, and as it is seen from inside."""

from __future__ import annotations

import json

import docker
import pytest

from app.proof.attacks.resources import WRITE_EVERYWHERE
from sandbox_runner.policy import MASKED_PATHS, READONLY_PATHS, SECCOMP
from sandbox_runner.spec import MIB, Role, SandboxLimits
from tests.docker.conftest import Bench, python, shell


async def test_the_engine_confirms_every_wall(bench: Bench, engine: docker.APIClient) -> None:
    sandbox = await bench.start(limits=SandboxLimits(memory_bytes=420 * MIB, cpus=0.5, pids=77, open_files=500))
    told = engine.inspect_container(sandbox.id)
    walls = told["HostConfig"]
    assert walls["NetworkMode"] == "none"
    assert told["Config"]["NetworkDisabled"] is True
    assert walls["ReadonlyRootfs"] is True
    assert walls["CapDrop"] == ["ALL"]
    assert {cap.removeprefix("CAP_") for cap in walls["CapAdd"]} == {"KILL", "SETGID", "SETPCAP", "SETUID"}
    assert walls["SecurityOpt"] == ["no-new-privileges", f"seccomp={SECCOMP}"]
    assert walls["Privileged"] is False
    assert walls["PidsLimit"] == 77
    assert walls["Memory"] == walls["MemorySwap"] == 420 * MIB
    assert walls["NanoCpus"] == 500_000_000
    assert {(limit["Name"], limit["Hard"]) for limit in walls["Ulimits"]} == {
        ("nofile", 500),
        ("core", 0),
        ("fsize", 128 * MIB + 4096),
    }
    assert (walls["ShmSize"], walls["OomScoreAdj"], told["Config"]["StopTimeout"]) == (16 * MIB, 500, 2)
    assert (walls["IpcMode"], walls["CgroupnsMode"], walls["PidMode"]) == ("private", "private", "")
    assert set(walls["MaskedPaths"]) == set(MASKED_PATHS)
    assert set(walls["ReadonlyPaths"]) == set(READONLY_PATHS)
    assert walls["LogConfig"]["Type"] == "none"
    assert walls["RestartPolicy"]["Name"] == "no"
    assert walls["Dns"] == ["127.0.0.1"]
    assert not walls["Binds"]
    assert not walls.get("Mounts")
    assert told["Mounts"] == []  # the tmpfs are not mounts to it; nothing of the host is
    assert told["State"]["Pid"] == sandbox.pid
    assert told["State"]["Health"]["Log"] == []  # there is a check, as auditors ask, and it never runs anything inside
    assert told["Config"]["Labels"]["crucible.instance"] == bench.instance


async def test_an_agent_has_no_right_at_all(bench: Bench, runtime: str) -> None:
    status = (await bench.only(shell("cat /proc/self/status"), runtime=runtime)).out
    sets = dict(line.split(":\t") for line in status.splitlines() if line.startswith("Cap"))
    assert sets
    assert set(sets.values()) == {"0" * 16}
    assert "Uid:\t1000\t1000\t1000\t1000" in status


async def test_new_rights_and_system_calls_are_locked(bench: Bench) -> None:
    status = (await bench.only(shell("cat /proc/self/status"))).out
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status


REACH_FOR_PROCESS_1 = """
import ctypes, json, os
def tried(what):
    try:
        what()
    except OSError as error:
        return error.errno
    return 0
libc = ctypes.CDLL(None, use_errno=True)
def ptrace():
    if libc.ptrace(16, 1, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "ptrace")
found = {
    "signal": tried(lambda: os.kill(1, 9)),
    "ptrace": tried(ptrace),
    "memory": tried(lambda: open("/proc/1/mem", "rb").read(1)),
    "stdout": tried(lambda: open("/proc/1/fd/1", "wb")),
    "stdin": tried(lambda: open("/proc/1/fd/0", "rb")),
    "root user": tried(lambda: os.setuid(0)),
}
tried(lambda: os.kill(-1, 9))
os.write(3, json.dumps(found).encode())
"""


async def test_an_agent_cannot_touch_process_1(bench: Bench, runtime: str) -> None:
    sandbox = await bench.start(runtime=runtime)
    found = json.loads((await bench.run(sandbox, python(REACH_FOR_PROCESS_1))).result)
    assert [what for what, error in found.items() if error == 0] == []
    assert await bench.driver.alive(sandbox)


async def test_a_root_operation_cannot_write_into_the_keepers_pipe(bench: Bench) -> None:
    code = "echo forged > /proc/1/fd/1 && echo written >&3; cat /proc/1/mem >&3; true"
    told = await bench.only(shell(code, uid=0), role=Role.SETUP)
    assert told.result == ""
    assert told.ended.code == 0


async def test_an_agent_can_write_to_its_tmpfs_and_nowhere_else(bench: Bench) -> None:
    written = json.loads((await bench.only(python(WRITE_EVERYWHERE))).result)
    assert written == ["/dev/mqueue", "/dev/shm", "/home/agent", "/tmp"]


REACH_OUT = """
import json, os, socket
def tried(family, kind, address, protocol=0):
    try:
        with socket.socket(family, kind, protocol) as s:
            s.settimeout(2)
            s.connect(address)
    except OSError as error:
        return type(error).__name__ + ": " + str(error)
    return ""
found = {
    "tcp": tried(socket.AF_INET, socket.SOCK_STREAM, ("1.1.1.1", 53)),
    "udp": tried(socket.AF_INET, socket.SOCK_DGRAM, ("1.1.1.1", 53)),
    "metadata": tried(socket.AF_INET, socket.SOCK_STREAM, ("169.254.169.254", 80)),
    "engine": tried(socket.AF_INET, socket.SOCK_STREAM, ("172.17.0.1", 2375)),
    "ipv6": tried(socket.AF_INET6, socket.SOCK_STREAM, ("2606:4700:4700::1111", 53)),
    "vsock": tried(40, socket.SOCK_STREAM, (2, 1024)),
    "engine's socket": tried(socket.AF_UNIX, socket.SOCK_STREAM, "/var/run/docker.sock"),
}
interfaces = sorted(os.listdir("/sys/class/net")) if os.path.exists("/sys/class/net") else ["lo"]
os.write(3, json.dumps([found, interfaces, open("/etc/resolv.conf").read()]).encode())
"""


async def test_there_is_no_way_out(bench: Bench, runtime: str) -> None:
    found, interfaces, resolver = json.loads((await bench.only(python(REACH_OUT), runtime=runtime)).result)
    assert [what for what, error in found.items() if not error] == []
    assert interfaces == ["lo"]
    named = {line.split()[1] for line in resolver.splitlines() if line.startswith("nameserver")}
    assert named <= {"127.0.0.1"}  # not the host's


async def test_a_sandbox_finds_itself_by_name(bench: Bench) -> None:
    program = "import os, socket; os.write(3, socket.gethostbyname('localhost').encode())"
    assert (await bench.only(python(program))).result == "127.0.0.1"


@pytest.mark.parametrize("role", [Role.SETUP, Role.SCORING])
async def test_root_operations_can_do_their_work_and_no_more(bench: Bench, role: Role) -> None:
    code = """
        set -e
        install -d -o 1000 -g 1000 -m 0700 /home/agent/work
        touch /home/agent/work/file && chown 1000:1000 /home/agent/work/file && chmod 600 /home/agent/work/file
        echo secret > /home/agent/work/file && cat /home/agent/work/file
        ! mount -t tmpfs none /mnt 2>/dev/null
        ! mknod /tmp/disk b 8 0 2>/dev/null
        ! unshare -n true 2>/dev/null
        ! chroot / true 2>/dev/null
        echo done
    """
    told = await bench.only(shell(code, uid=0), role=role)
    assert told.out.splitlines()[-2:] == ["secret", "done"]
    assert told.ended.code == 0


async def test_what_tells_of_the_host_is_hidden(bench: Bench) -> None:
    code = (
        "wc -c < /proc/interrupts; wc -c < /proc/keys; ls /sys/firmware /sys/fs/cgroup; cat /proc/1/environ; hostname"
    )
    told = await bench.only(shell(code))
    assert told.out.split() == ["0", "0", "/sys/firmware:", "/sys/fs/cgroup:", "sandbox"]
