"""Becoming more than an ordinary user: root, capabilities, other processes, the kernel's dangerous calls."""

from __future__ import annotations

import json

from app.proof.attack import Attack, Untestable, require
from app.proof.ground import Ground
from sandbox_runner.spec import Role

RIGHTS = """
import json, os
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines() if ":" in line)
got = []
for name, act in {"setuid": lambda: os.setuid(0), "setgid": lambda: os.setgid(0),
                  "setgroups": lambda: os.setgroups([0]), "chroot": lambda: os.chroot("/"),
                  "nice": lambda: os.nice(-5)}.items():
    try:
        act()
        got.append(name)
    except OSError:
        pass
sets = {name: int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb") if name in status}
locked = status.get("NoNewPrivs", "").strip()
os.write(3, json.dumps([sets, status["Uid"].split(), got, locked]).encode())
"""


async def rights(ground: Ground) -> str:
    sets, uids, got, locked = await ground.answer(RIGHTS)
    require(not any(sets.values()), f"it holds capabilities: {sets}")
    require(set(uids) == {"1000"}, f"its user ids are {uids}")
    # This gVisor takes any niceness, and does nothing with it.
    more = [name for name in got if not (ground.gvisor and name == "nice")]
    require(not more, f"it could {', '.join(more)}")
    require(locked in ("1", ""), "new rights are not locked")
    return f"all {len(sets)} capability sets are empty, and it stays user 1000"


SETUID = """
import json, os, shutil, subprocess
# A setuid root program of the image, and one in each place it may write to.
looked = ["find", "/usr/bin", "/bin", "-xdev", "-perm", "-4000", "-user", "0"]
found = subprocess.run(looked, capture_output=True, text=True)
became = []
for program in found.stdout.split():
    if os.path.basename(program) == "su":
        told = subprocess.run([program, "-c", "id -u"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        became += [program] if told.stdout.strip() == "0" else []
for folder in ("/home/agent", "/tmp"):
    copy = os.path.join(folder, "copy")
    shutil.copy("/usr/bin/id", copy)
    os.chmod(copy, 0o6755)
    told = subprocess.run([copy, "-u"], capture_output=True, text=True)
    became += [copy] if told.stdout.strip() == "0" else []
flags = [line.split()[5] for line in open("/proc/self/mountinfo") if line.split()[4] in ("/home/agent", "/tmp")]
os.write(3, json.dumps([became, flags]).encode())
"""


async def setuid(ground: Ground) -> str:
    became, flags = await ground.answer(SETUID)
    require(not became, f"became root by {', '.join(became)}")
    for each in flags if not ground.gvisor else ():  # which does not show them
        require("nosuid" in each and "nodev" in each, f"a place it may write to is mounted {each}")
    return "the image's setuid programs and its own gave it nothing"


OTHERS = """
import ctypes, json, os
libc = ctypes.CDLL(None, use_errno=True)
def ptrace():
    if libc.ptrace(16, 1, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "ptrace")
got = []
for name, act in {"signal process 1": lambda: os.kill(1, 9), "trace process 1": ptrace,
                  "read its memory": lambda: open("/proc/1/mem", "rb").read(1),
                  "write its output": lambda: open("/proc/1/fd/1", "wb"),
                  "read its input": lambda: open("/proc/1/fd/0", "rb"),
                  "see its files": lambda: os.listdir("/proc/1/root")}.items():
    try:
        act()
        got.append(name)
    except OSError:
        pass
try:
    os.kill(-1, 9)
except OSError:
    pass
seen = [int(name) for name in os.listdir("/proc") if name.isdigit()]
os.write(3, json.dumps([got, len(seen)]).encode())
"""


async def others(ground: Ground) -> str:
    async with ground.box() as box:
        got, seen = (await box.run(OTHERS)).answer
        require(not got, f"it could {', '.join(got)}")
        require(await box.alive(), "process 1 is gone")
        require(seen < 10, f"it sees {seen} processes")
    return f"process 1 is out of its reach; it sees {seen} processes, all of the sandbox"


#: name -> x86-64 number. Arguments do not matter: a filter refuses before they are looked at.
CALLS = {
    "ptrace": 101, "syslog": 103, "modify_ldt": 154, "pivot_root": 155, "adjtimex": 159, "acct": 163, "mount": 165,
    "umount2": 166, "swapon": 167, "reboot": 169, "iopl": 172, "ioperm": 173, "init_module": 175, "quotactl": 179,
    "kexec_load": 246, "add_key": 248, "request_key": 249, "keyctl": 250, "unshare": 272, "vmsplice": 278,
    "move_pages": 279, "perf_event_open": 298, "fanotify_init": 300, "name_to_handle_at": 303, "open_by_handle_at": 304,
    "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "finit_module": 313, "bpf": 321,
    "userfaultfd": 323, "io_uring_setup": 425, "open_tree": 428, "move_mount": 429, "fsopen": 430, "memfd_secret": 447,
}  # fmt: skip

TRY_CALLS = """
import ctypes, json, os
calls = json.loads(CALLS)
libc = ctypes.CDLL(None, use_errno=True)
open_calls = []
for name, number in calls.items():
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        answer = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(0)] * 6)
        os.write(write, str(ctypes.get_errno() if answer < 0 else 0).encode())
        os._exit(0)
    os.close(write)
    said = os.read(read, 20)
    os.close(read)
    os.waitpid(pid, 0)
    if said not in (b"1", b"38", b""):  # not permitted, not there, killed for it
        open_calls.append(name)
os.write(3, json.dumps([os.uname().machine, open_calls]).encode())
"""


async def calls(ground: Ground) -> str:
    machine, open_calls = await ground.answer(f"CALLS = {json.dumps(json.dumps(CALLS))}\n{TRY_CALLS}")
    if machine != "x86_64":
        raise Untestable(f"the numbers of the calls are those of x86-64, and this is {machine}")
    if ground.gvisor:
        shut = len(CALLS) - len(open_calls)
        return f"{shut} of {len(CALLS)} refused; the others end in gVisor's own kernel, not in the host's"
    require(not open_calls, f"{', '.join(open_calls)} reach the kernel")
    return f"all {len(CALLS)} are refused before the kernel looks at them"


MOUNTS = """
import ctypes, json, os
libc = ctypes.CDLL(None, use_errno=True)
got = []
if libc.mount(b"none", b"/tmp", b"tmpfs", 0, None) == 0: got.append("mount")
if libc.mount(b"/", b"/tmp", None, 4096, None) == 0: got.append("bind")
pid = os.fork()
if pid == 0:
    own = libc.unshare(0x10000000 | 0x00020000) == 0
    os._exit(0 if own and libc.mount(b"none", b"/tmp", b"tmpfs", 0, None) == 0 else 1)
if os.waitpid(pid, 0)[1] == 0: got.append("a user namespace with mounts of its own")
for path in ("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/sys/kernel/uevent_helper",
             "/sys/fs/cgroup/release_agent", "/proc/sys/vm/overcommit_memory"):
    try:
        os.close(os.open(path, os.O_WRONLY))
        got.append(path)
    except OSError:
        pass
os.write(3, json.dumps(got).encode())
"""


async def mounts(ground: Ground) -> str:
    got = await ground.answer(MOUNTS)
    require(not got or ground.gvisor, f"it could use {', '.join(got)}")
    if got:
        return f"{', '.join(got)}: of gVisor's own kernel, never of the host's"
    return "no mount, no namespace, no switch of the kernel"


async def root_mounts(ground: Ground) -> str:
    """Root's operations run before and after the agent; a family's code is not trusted either."""
    got = await ground.answer(MOUNTS, uid=0, role=Role.SETUP)
    require(not got or ground.gvisor, f"root of a task's setup could use {', '.join(got)}")
    if got:
        return f"{', '.join(got)}: of gVisor's own kernel, never of the host's"
    return "root of a task's setup can neither mount nor turn a switch of the kernel"


CLOCK = """
import json, os, time
got = []
try:
    time.clock_settime(time.CLOCK_REALTIME, 0)
    got.append("clock_settime")
except OSError:
    pass
os.write(3, json.dumps(got).encode())
"""


async def clock(ground: Ground) -> str:
    require(not await ground.answer(CLOCK), "the agent could set the clock")
    require(not await ground.answer(CLOCK, uid=0, role=Role.SETUP), "root of a task's setup could set the clock")
    return "neither the agent nor a task's root can"


ATTACKS = (
    Attack(
        name="rights",
        title="Become root, hold capabilities",
        should="user 1000 without any right, for good",
        play=rights,
    ),
    Attack(
        name="setuid",
        title="Setuid programs, the image's and its own",
        should="none gives anything",
        play=setuid,
    ),
    Attack(
        name="process-1",
        title="Signal, trace, read or impersonate the keeper",
        should="refused; the keeper lives",
        play=others,
    ),
    Attack(
        name="system-calls",
        title="37 calls of the kernel that escapes were made of",
        should="refused by the filter",
        play=calls,
    ),
    Attack(
        name="mounts",
        title="Mount, make namespaces, write the kernel's switches",
        should="refused",
        play=mounts,
    ),
    Attack(
        name="root-mounts",
        title="The same as root of a task's setup",
        should="refused",
        play=root_mounts,
    ),
    Attack(
        name="clock",
        title="Set the host's clock",
        should="refused",
        play=clock,
    ),
)
