"""The system call filter: what it must refuse is refused, and what programs live on works."""

from __future__ import annotations

import json
from dataclasses import replace

from tests.docker.conftest import Bench, python
from tests.docker.test_walls import REACH_FOR_PROCESS_1

#: name -> x86-64 number; arguments that would be refused for themselves do not matter: EPERM has to come first.
RISKY = {
    "ptrace": 101,
    "syslog": 103,
    "modify_ldt": 154,
    "pivot_root": 155,
    "adjtimex": 159,
    "chroot": 161,
    "acct": 163,
    "settimeofday": 164,
    "mount": 165,
    "umount2": 166,
    "swapon": 167,
    "reboot": 169,
    "iopl": 172,
    "ioperm": 173,
    "init_module": 175,
    "delete_module": 176,
    "quotactl": 179,
    "clock_settime": 227,
    "kexec_load": 246,
    "add_key": 248,
    "request_key": 249,
    "keyctl": 250,
    "migrate_pages": 256,
    "unshare": 272,
    "vmsplice": 278,
    "move_pages": 279,
    "perf_event_open": 298,
    "fanotify_init": 300,
    "name_to_handle_at": 303,
    "open_by_handle_at": 304,
    "setns": 308,
    "process_vm_readv": 310,
    "process_vm_writev": 311,
    "kcmp": 312,
    "finit_module": 313,
    "bpf": 321,
    "userfaultfd": 323,
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsmount": 432,
    "pidfd_getfd": 438,
    "mount_setattr": 442,
    "memfd_secret": 447,
    "statmount": 457,
    "listmount": 458,
    "x32 getpid": 0x40000000 + 39,
}

TRY_ALL = """
import ctypes, errno, json, os, sys
risky = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
found = {}
for name, number in risky.items():
    # Each in a child: one the filter knows nothing of may end its caller.
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        ctypes.set_errno(0)
        answer = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(0)] * 6)
        os.write(write, str(ctypes.get_errno() if answer < 0 else 0).encode())
        os._exit(0)
    os.close(write)
    said = os.read(read, 100)
    os.close(read)
    status = os.waitpid(pid, 0)[1]
    found[name] = int(said) if said else "killed by %d" % os.WTERMSIG(status)
os.write(3, json.dumps(found).encode())
"""


async def test_every_risky_call_is_refused(bench: Bench) -> None:
    job = python(TRY_ALL)
    told = await bench.only(replace(job, argv=(*job.argv, json.dumps(RISKY))))
    found = json.loads(told.result)
    assert found.keys() == RISKY.keys()
    assert {name: answer for name, answer in found.items() if answer not in REFUSED} == {}


#: Those younger than the filter's library are "not implemented".
REFUSED = (1, 38, "killed by 31")


TRACE_A_CHILD = """
import ctypes, json, os, signal
libc = ctypes.CDLL(None, use_errno=True)
child = os.fork()
if child == 0:
    traced = libc.ptrace(0, 0, 0, 0)  # PTRACE_TRACEME
    os.kill(os.getpid(), signal.SIGSTOP)
    os._exit(7)
_, status = os.waitpid(child, 0)
stopped = os.WIFSTOPPED(status)
let_go = libc.ptrace(17, child, 0, 0)  # PTRACE_DETACH
os.kill(child, signal.SIGCONT)
_, status = os.waitpid(child, os.WUNTRACED)
os.write(3, json.dumps([stopped, let_go, os.WEXITSTATUS(status)]).encode())
"""


async def test_the_debug_profile_may_trace_its_children_and_nothing_else_more(bench: Bench) -> None:
    sandbox = await bench.start(debug=True)
    traced = await bench.run(sandbox, python(TRACE_A_CHILD))
    assert json.loads(traced.result) == [True, 0, 7]
    job = python(TRY_ALL, number=2)
    told = await bench.run(sandbox, replace(job, argv=(*job.argv, json.dumps(RISKY))), after=traced)
    answers = json.loads(told.result)
    assert [name for name, answer in answers.items() if answer not in REFUSED] == ["ptrace"]
    reach = await bench.run(sandbox, python(REACH_FOR_PROCESS_1, number=3), after=told)
    assert json.loads(reach.result)["ptrace"] == 1  # not its keeper


OLD_DOOR = """
import ctypes, mmap, os
# int 0x80: system call 102 (socketcall) of the 32-bit table, which a filter for 64 bits alone would not see.
code = bytes([0xB8, 102, 0, 0, 0, 0xCD, 0x80, 0xC3])
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(code)
pid = os.fork()
if pid == 0:
    answer = ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
    os._exit(0 if answer == -1 else 1)
os.write(3, str(os.waitpid(pid, 0)[1]).encode())
"""


async def test_the_32_bit_table_is_no_way_around(bench: Bench) -> None:
    status = int((await bench.only(python(OLD_DOOR))).result)
    assert status & 0x7F == 31 or status == 0, status  # killed by SIGSYS, or refused


FAMILIES = """
import json, os, socket
def made(family, kind, protocol=0):
    try:
        socket.socket(family, kind, protocol).close()
    except OSError as error:
        return error.errno
    return 0
kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET)
found = [family for family in range(64) if any(made(family, kind) == 0 for kind in kinds)]
netlink = [protocol for protocol in range(1, 23) if made(16, socket.SOCK_RAW, protocol) == 0]
os.write(3, json.dumps([found, netlink]).encode())
"""


async def test_sockets_are_unix_ip_and_routes_only(bench: Bench) -> None:
    assert json.loads((await bench.only(python(FAMILIES))).result) == [[1, 2, 10, 16], []]


NAMESPACES = """
import ctypes, json, os
libc = ctypes.CDLL(None, use_errno=True)
def cloned(flag):
    pid = libc.syscall(ctypes.c_long(56), ctypes.c_long(flag | 17), *[ctypes.c_long(0)] * 4)
    if pid == 0:
        os._exit(0)
    if pid > 0:
        os.waitpid(pid, 0)
        return 0
    return ctypes.get_errno()
flags = [0, 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000]
clone3 = -libc.syscall(ctypes.c_long(435), ctypes.c_long(0), ctypes.c_long(0)) and ctypes.get_errno()
os.write(3, json.dumps([[cloned(flag) for flag in flags], clone3]).encode())
"""


async def test_children_are_allowed_and_new_namespaces_are_not(bench: Bench) -> None:
    answers, clone3 = json.loads((await bench.only(python(NAMESPACES))).result)
    assert answers == [0] + [1] * 7
    assert clone3 == 38  # "not implemented", so that libraries use clone


ORDINARY = """
import asyncio, json, multiprocessing, os, socket, sqlite3, subprocess, tempfile, threading

done = []
threads = [threading.Thread(target=done.append, args=(n,)) for n in range(8)]
[thread.start() for thread in threads]; [thread.join() for thread in threads]
assert sorted(done) == list(range(8))

assert subprocess.check_output(["bash", "-c", "ls / | sort | head -1"]) == b"bin\\n"
assert os.posix_spawnp("true", ["true"], os.environ) > 0

async def serve():
    async def answer(reader, writer):
        writer.write((await reader.readline()).upper()); await writer.drain(); writer.close()
    for host in ("127.0.0.1", "::1"):
        server = await asyncio.start_server(answer, host, 0)
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"hello\\n")
        assert await reader.read() == b"HELLO\\n"
        writer.close(); server.close()
    process = await asyncio.create_subprocess_exec("cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert (await process.communicate(b"x"))[0] == b"x"
asyncio.run(serve())

def square(n):
    return n * n

if __name__ == "__main__":
    with multiprocessing.Pool(2) as pool:
        assert pool.map(square, range(5)) == [0, 1, 4, 9, 16]
    with tempfile.TemporaryDirectory() as folder:
        connection = sqlite3.connect(folder + "/db")
        connection.execute("create table t (a)"); connection.commit(); connection.close()
        os.mkfifo(folder + "/fifo")
        open(folder + "/run.sh", "w").write("#!/bin/sh\\necho ran\\n")
        os.chmod(folder + "/run.sh", 0o755)
        assert subprocess.check_output([folder + "/run.sh"]) == b"ran\\n"
    a, b = socket.socketpair()
    a.send(b"x"); assert b.recv(1) == b"x"
    os.write(3, b"all work")
"""


async def test_what_ordinary_programs_need_works(bench: Bench) -> None:
    told = await bench.only(python(ORDINARY, cwd="/home/agent"))
    assert told.result == "all work", told.items
