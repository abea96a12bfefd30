"""The programs the contract suite runs: each as a real command line and as a script for the fake driver."""

from __future__ import annotations

import itertools
import json
import math
import random
from dataclasses import dataclass

from sandbox_runner.driver import Stream
from sandbox_runner.fake_script import FakeJob, Stdin
from sandbox_runner.spec import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    name: str
    argv: tuple[str, ...]
    fake: FakeJob
    stdin: bool = False
    result: bool = False

    def job(self, number: int, *, uid: int = 1000) -> Job:
        return Job(id=number, name=self.name, argv=self.argv, uid=uid, gid=uid, stdin=self.stdin, result=self.result)


def _python(code: str) -> tuple[str, ...]:
    return ("python3", "-uc", code)


SPEAKS = Play(
    name="speaks",
    argv=_python(
        "import os, time\n"
        "os.write(1, b'to stdout\\n'); time.sleep(0.1)\n"
        "os.write(2, b'to stderr\\n'); time.sleep(0.1)\n"
        "os.write(1, b'\\x00\\xff no newline')\n"
    ),
    fake=FakeJob(
        lines=(
            (0.0, Stream.STDOUT, b"to stdout\n"),
            (0.1, Stream.STDERR, b"to stderr\n"),
            (0.1, Stream.STDOUT, b"\x00\xff no newline"),
        )
    ),
)
ANSWERS = Play(
    name="answers",
    argv=_python(
        "import os\nprint('{\"score\": 1}', flush=True)\n"
        "os.write(int(os.environ['CRUCIBLE_RESULT_FD']), b'{\"score\": 0}')"
    ),
    fake=FakeJob(lines=((0.0, Stream.STDOUT, b'{"score": 1}\n'),), answer=b'{"score": 0}'),
    result=True,
)


def _who(job: Job, fed: bytes) -> bytes:
    return json.dumps([job.uid, job.gid, sorted(job.groups), job.cwd, job.env.get("COLOUR")]).encode()


#: Answers with who and where it is.
TELLS_WHO = Play(
    name="tells-who",
    argv=_python(
        "import json, os\n"
        "groups = sorted(set(os.getgroups()) - {os.getgid()})\n"
        "who = [os.getuid(), os.getgid(), groups, os.getcwd(), os.environ.get('COLOUR')]\n"
        "os.write(int(os.environ['CRUCIBLE_RESULT_FD']), json.dumps(who).encode())"
    ),
    fake=FakeJob(answer=_who),
    result=True,
)
ENDS_WITH_3 = Play(name="ends-with-3", argv=("sh", "-c", "exit 3"), fake=FakeJob(code=3))
DIES_BY_SIGNAL = Play(name="dies-by-signal", argv=("sh", "-c", "kill -9 $$"), fake=FakeJob(code=137))
MISSING = Play(
    name="missing",
    argv=("no-such-program-anywhere",),
    fake=FakeJob(code=127, reason="no-such-program-anywhere: not found"),
)
#: Leaves a process behind that ignores signals, has a session of its own and holds the pipe open.
LEAVES_A_CHILD = Play(
    name="leaves-a-child",
    argv=_python(
        "import os, signal, sys, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid(); signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "    os.write(1, b'child is here\\n'); time.sleep(600)\n"
        "time.sleep(0.3)\n"
    ),
    fake=FakeJob(lines=((0.0, Stream.STDOUT, b"child is here\n"),), run_for=0.3),
)
#: Prints how many processes there are: the keeper and itself.
COUNTS_PROCESSES = Play(
    name="counts-processes",
    argv=_python("import os; print(sum(name.isdigit() for name in os.listdir('/proc')))"),
    fake=FakeJob(lines=((0.0, Stream.STDOUT, b"2\n"),)),
)
SLEEPS = Play(name="sleeps", argv=("sleep", "600"), fake=FakeJob(run_for=math.inf))
#: Never reads what it is fed.
SLEEPS_ON_STDIN = Play(
    name="sleeps-on-stdin", argv=("sleep", "600"), fake=FakeJob(run_for=math.inf, stdin=Stdin.IGNORE), stdin=True
)
COPIES = Play(name="copies", argv=("cat",), fake=FakeJob(stdin=Stdin.ECHO), stdin=True)
COPIES_NOTHING = Play(name="copies-nothing", argv=("cat",), fake=FakeJob(stdin=Stdin.ECHO))
TICKS = Play(
    name="ticks",
    argv=_python("import time\nwhile True: print('tick', flush=True); time.sleep(0.02)"),
    fake=FakeJob(lines=[(0.02, Stream.STDOUT, b"tick\n")] * 100_000),
)
BUSY = Play(name="busy", argv=_python("while True: pass"), fake=FakeJob(run_for=math.inf))
#: Ignores every signal it may, and forks on and on.
REFUSES_TO_DIE = Play(
    name="refuses-to-die",
    argv=_python(
        "import os, signal, time\n"
        "for number in (1, 2, 3, 15): signal.signal(number, signal.SIG_IGN)\n"
        "print('here', flush=True)\n"
        "while True:\n"
        "    try:\n"
        "        if os.fork() == 0: os.setsid()\n"
        "    except OSError: time.sleep(0.01)\n"
    ),
    fake=FakeJob(lines=((0.0, Stream.STDOUT, b"here\n"),), run_for=math.inf),
)


class Endless:
    """The same piece of output again and again, at once."""

    def __init__(self, piece: bytes) -> None:
        self._piece = piece

    def __iter__(self) -> itertools.repeat[tuple[float, Stream, bytes]]:
        return itertools.repeat((0.0, Stream.STDOUT, self._piece))


FLOODS = Play(
    name="floods",
    argv=_python("import os\nwhile True: os.write(1, b'y' * 65536)"),
    fake=FakeJob(lines=Endless(b"y" * 65536)),
)

#: What RANDOM prints: every byte value, in pieces of uneven size.
RANDOM_BYTES = random.Random(7).randbytes(3_000_000)
RANDOM = Play(
    name="random",
    argv=_python(
        "import os, random\nleft = random.Random(7).randbytes(3_000_000)\n"
        "while left: left = left[os.write(1, left[:50_021]):]"
    ),
    fake=FakeJob(
        lines=tuple((0.0, Stream.STDOUT, RANDOM_BYTES[start : start + 50_021]) for start in range(0, 3_000_000, 50_021))
    ),
)

#: Written by root into an image, read by the agent of a sandbox made from it.
WRITES_A_MARK = Play(
    name="writes-a-mark",
    argv=("sh", "-c", "echo mark > /srv/mark && chmod 444 /srv/mark"),
    fake=FakeJob(),
)
READS_THE_MARK = Play(
    name="reads-the-mark",
    argv=("cat", "/srv/mark"),
    fake=FakeJob(lines=((0.0, Stream.STDOUT, b"mark\n"),)),
)

#: Two megabytes to the image's own disk, one to memory; a connection, a datagram and a name that lead nowhere.
TRIES_DISK_AND_NETWORK = Play(
    name="tries-disk-and-network",
    argv=_python(
        "import os, socket\n"
        "for name, size in (('/srv/big', 2_000_000), ('/tmp/big', 1_000_000)):\n"
        "    with open(name, 'wb') as file: file.write(bytes(size)); file.flush(); os.fsync(file.fileno())\n"
        "def tried(act):\n"
        "    try: act()\n"
        "    except OSError as error: print(error.errno)\n"
        "tried(lambda: socket.create_connection(('192.0.2.1', 80)))\n"
        "tried(lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 9)))\n"
        "tried(lambda: socket.getaddrinfo('example.org', 80))\n"
    ),
    fake=FakeJob(lines=((0.0, Stream.STDOUT, b"101\n101\n-3\n"),), disk_written_bytes=2_000_000, network_attempts=2),
)

#: Three megabytes, behind a link that leads elsewhere.
FILLS_ITS_HOME = Play(
    name="fills-its-home",
    argv=_python(
        "import os\nos.symlink('/', '/home/agent/away')\nopen('/home/agent/big', 'wb').write(bytes(3_000_000))\n"
    ),
    fake=FakeJob(disk_used_bytes=3_000_000),
)

PLAYS = (
    SPEAKS,
    ANSWERS,
    TELLS_WHO,
    ENDS_WITH_3,
    DIES_BY_SIGNAL,
    MISSING,
    LEAVES_A_CHILD,
    COUNTS_PROCESSES,
    SLEEPS,
    SLEEPS_ON_STDIN,
    COPIES,
    COPIES_NOTHING,
    TICKS,
    BUSY,
    REFUSES_TO_DIE,
    FLOODS,
    RANDOM,
    WRITES_A_MARK,
    READS_THE_MARK,
    TRIES_DISK_AND_NETWORK,
    FILLS_ITS_HOME,
)
