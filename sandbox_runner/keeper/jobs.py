"""How the keeper starts a program, and what that program keeps of the keeper: nothing. Standard library only."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import pwd
import resource
import signal
from typing import Any, NoReturn

from sandbox_runner import frames
from sandbox_runner.frames import BadFrame

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
RESULT_FD = 3
MAX_FD = 65536
PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 4, 24, 38
IS_INIT = os.getpid() == 1

libc = ctypes.CDLL(None, use_errno=True)
libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4


class Job:
    """One started program: its pipes, and how it ended."""

    def __init__(self, ident: int, pid: int, pipes: dict[int, int], stdin: int | None) -> None:
        self.id = ident
        self.pid = pid
        self.pipes = pipes  #: our end -> stream
        self.stdin = stdin
        self.received = 0  #: bytes of its stdin that came
        self.pending = bytearray()
        self.eof = False
        self.code: int | None = None
        self.reason = ""

    @property
    def used(self) -> int:
        return self.received - len(self.pending)

    def close_stdin(self) -> None:
        self.pending.clear()
        if self.stdin is not None:
            os.close(self.stdin)
            self.stdin = None


def start_job(plan: Plan) -> Job:
    """Fork and run what is planned; `reason` says why it could not be run. Raises OSError when there is no room."""
    streams = [frames.STDOUT, frames.STDERR] + ([frames.RESULT] if plan.result else [])
    opened: list[int] = []
    try:
        for _ in streams:
            opened += os.pipe()
        opened += os.pipe() if plan.stdin else (os.open("/dev/null", os.O_RDONLY), os.open("/dev/null", os.O_WRONLY))
        opened += os.pipe()
        pid = os.fork()
    except OSError:
        for fd in opened:
            os.close(fd)
        raise
    why, tell, source, sink = opened[-2], opened[-1], opened[-4], opened[-3]
    ours, theirs = opened[0:-4:2], opened[1:-4:2]
    if pid == 0:
        plan.become(source, theirs, tell)
    for fd in (source, tell, *theirs):
        os.close(fd)
    for fd in (*ours, sink):
        os.set_blocking(fd, False)
    if not plan.stdin:
        os.close(sink)
    job = Job(plan.id, pid, dict(zip(ours, streams)), sink if plan.stdin else None)  # noqa: B905  3.9 has no strict
    # Ends with the exec. Nothing else lives in the sandbox that could hold the child up before it.
    with open(why, "rb") as pipe:
        job.reason = pipe.read(1024).decode(errors="replace")
    return job


class Plan:
    """A job as ordered, checked; and what its process does to itself before it becomes the program."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.id = frames.number(order, "id", 1, 65535)
        self.uid = frames.number(order, "uid", 0, 2**32 - 2)
        self.gid = frames.number(order, "gid", 0, 2**32 - 2)
        self.argv = frames.strings(order.get("argv"), "argv")
        self.cwd = frames.strings([order.get("cwd")], "cwd")[0]
        env = order.get("env")
        if not isinstance(env, dict):
            raise BadFrame("env is not an object")
        frames.strings([*env, *env.values()], "env")
        self.env = {"PATH": PATH, "HOME": _home(self.uid), **env}
        groups = order.get("groups")
        if not isinstance(groups, list) or not all(type(group) is int for group in groups):
            raise BadFrame("groups is not a list of numbers")
        self.groups: list[int] = groups
        self.stdin = order.get("stdin") is True
        self.result = order.get("result") is True
        if not self.argv:
            raise BadFrame("argv is empty")
        if self.result:
            self.env["CRUCIBLE_RESULT_FD"] = str(RESULT_FD)

    def become(self, stdin: int, outputs: list[int], tell: int) -> NoReturn:
        """In the child: give everything up, then run the program. Never returns."""
        try:
            signal.set_wakeup_fd(-1)
            _prctl(PR_SET_DUMPABLE, 1)
            _let_open_by_name(outputs)
            for each in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGTERM):
                signal.signal(each, signal.SIG_DFL)
            os.setsid()
            # High first: a source must not be overwritten before it is copied to its place.
            spare = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 32) for fd in (stdin, *outputs, tell)]
            tell = spare.pop()
            for place, fd in enumerate(spare):
                os.dup2(fd, place, inheritable=True)
            os.closerange(len(spare), tell)
            os.closerange(tell + 1, MAX_FD)  # also what an engine leaked into the keeper
            os.umask(0o022)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            _first_to_die()
            self._drop_rights()
            os.chdir(self.cwd)
            os.execvpe(self.argv[0], self.argv, self.env)
        except BaseException as error:
            why = error.strerror if isinstance(error, OSError) and error.filename != self.cwd else error
            os.write(tell, f"{self.argv[0]}: {why}".encode(errors="replace")[:500])
        finally:
            os._exit(127)

    def _drop_rights(self) -> None:
        _prctl(PR_SET_NO_NEW_PRIVS, 1)
        if os.geteuid() != 0:
            if self.uid != os.geteuid():
                raise PermissionError(f"only root can start a job as user {self.uid}")
            return
        if self.uid != 0:
            _drop_bounding_set()
        os.setgroups(self.groups)
        os.setresgid(self.gid, self.gid, self.gid)
        if self.uid != 0:
            os.setresuid(self.uid, self.uid, self.uid)
            _drop_capabilities()


def _home(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_dir
    except (KeyError, OSError):
        return "/"


def _prctl(option: int, argument: int) -> None:
    if libc.prctl(option, argument, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}, {argument}): {os.strerror(number)}")


def _drop_bounding_set() -> None:
    for capability in range(64):
        try:
            _prctl(PR_CAPBSET_DROP, capability)
        except OSError as error:
            if error.errno != errno.EINVAL:  # the kernel has no more capabilities
                raise
            return


def _drop_capabilities() -> None:
    """The change of user emptied all sets but the inheritable one, which old engines fill."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    if libc.capset(header, (ctypes.c_uint32 * 6)()) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"capset: {os.strerror(number)}")


def _let_open_by_name(pipes: list[int]) -> None:
    """So that a job of another user may open /dev/stdout; nobody but a pipe's holders can name it.

    To write only: who could read it could take back what was printed before it is relayed.
    """
    for pipe in pipes:
        try:
            os.fchmod(pipe, 0o222)
        except OSError:  # gVisor's pipes have no such thing
            return


def hide_from_jobs() -> None:
    """Or a root job could write to the keeper's stdout through /proc/1/fd."""
    _prctl(PR_SET_DUMPABLE, 0)


def _first_to_die() -> None:
    """When memory is short the kernel takes a job, not the keeper, which has to tell the tale."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
    except OSError:  # not offered by every kernel that calls itself one
        pass


def kill_all(group: int) -> None:
    """SIGKILL everything in the sandbox. Only as process 1 does -1 mean that, and not the whole machine."""
    try:
        if IS_INIT:
            os.kill(-1, signal.SIGKILL)
        else:
            os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
