"""What a fake sandbox does: pure data, chosen by whoever makes the fake driver."""

from __future__ import annotations

import enum
import io
import json
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sandbox_runner.attestation import Difference
from sandbox_runner.driver import Stream, Usage
from sandbox_runner.runtime_probe import AGENT_CHECKS, ROOT_CHECKS
from sandbox_runner.spec import MIB, Job

#: Seconds to wait before writing, the pipe to write to, the bytes.
Write = tuple[float, Stream, bytes]

#: What a job writes to its result pipe: the bytes, or a function of the job and of all that was fed to it.
Answer = bytes | Callable[[Job, bytes], bytes]

#: A reading of resource use: a function of the seconds the sandbox ran unfrozen, or readings in turn (the last stays).
UsageScript = Callable[[float], Usage] | Sequence[Usage]


def empty_tar() -> bytes:
    """A tar archive without members."""
    buffer = io.BytesIO()
    tarfile.open(fileobj=buffer, mode="w").close()
    return buffer.getvalue()


def quiet_usage(seconds: float) -> Usage:
    """A sandbox that works a little: 0.2 cores, 24 MiB, 3 processes; nothing on a disk, in its home or to a network."""
    return Usage(
        at=0.0,
        cpu_seconds=seconds * 0.2,
        memory_bytes=24 * MIB,
        pids=3,
        memory_peak_bytes=32 * MIB,
        disk_written_bytes=0,
        network_attempts=0,
        disk_used_bytes=0,
    )


class Stdin(enum.Enum):
    """What a job does with what is fed to it."""

    COLLECT = "collect"  #: reads it to its end before anything else
    TAKE = "take"  #: reads it as it comes while doing the rest
    ECHO = "echo"  #: copies it to stdout to its end before anything else
    IGNORE = "ignore"  #: never reads, so that feeding comes to a stand


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeJob:
    """What one job does, in this order: its stdin, write, answer, stay, end."""

    lines: Iterable[Write] = ()  #: iterated anew by every job, so not a generator; may be endless
    answer: Answer = b""  #: only written when the job asked for a result pipe
    run_for: float = 0.0  #: seconds the job lasts at least; `math.inf`: until it is killed
    code: int = 0
    reason: str = ""  #: why the program could not be started
    stdin: Stdin = Stdin.COLLECT  #: only matters when the job asked for stdin
    disk_written_bytes: int = 0  #: what its start adds to the sandbox's figure
    network_attempts: int = 0  #: the same
    disk_used_bytes: int = 0  #: what it leaves in the home


#: What the agent of a demonstration prints.
AGENT_LINES: tuple[Write, ...] = (
    (0.05, Stream.STDOUT, b"reading /home/agent/instructions.txt\n"),
    (0.30, Stream.STDOUT, b"thinking about the task\n"),
    (0.30, Stream.STDERR, b"note: this is a fake sandbox, nothing runs here\n"),
    (0.30, Stream.STDOUT, b"writing /home/agent/submission.txt\n"),
    (0.05, Stream.STDOUT, b"done\n"),
)


#: What jobs answer unless they are told to.
_ANSWERS: Mapping[str, Answer] = {
    "collect": empty_tar(),
    "probe": json.dumps(dict.fromkeys((*ROOT_CHECKS, *AGENT_CHECKS), "")).encode(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeKnobs:
    """How a fake sandbox behaves. The first three knobs of jobs are about the job named "agent"."""

    lines: Iterable[Write] = AGENT_LINES
    run_for: float = 0.0  #: seconds the agent lasts at least
    exit_code: int = 0
    results: Mapping[str, Answer] = field(
        default_factory=dict
    )  #: job name -> its result; "collect": an empty tar, "probe": all works
    job_codes: Mapping[str, int] = field(default_factory=dict)  #: job name -> exit code; 0 when not named
    jobs: Mapping[str, FakeJob] = field(default_factory=dict)  #: job name -> all of it; goes before the knobs above

    start_error: str | None = None  #: starting fails with this text
    differences: tuple[Difference, ...] = ()  #: the sandbox comes out otherwise than its policy, in these fields
    start_delay: float = 0.0  #: seconds a start takes
    freeze_error: str | None = None  #: freezing fails with this text
    ignore_kill: int = 0  #: kills without effect before one works
    ignore_remove: int = 0  #: removals without effect before one works
    lose_stream: int | None = None  #: the first relay that carried this many bytes is cut
    usage: UsageScript = quiet_usage
    out_of_memory: bool = False  #: what the sandbox's `Exit` says
    crash_after: float | None = None  #: the sandbox itself falls over so many seconds after its start

    def job(self, name: str) -> FakeJob:
        """What a job of this name does."""
        if name in self.jobs:
            return self.jobs[name]
        answer = self.results.get(name, _ANSWERS.get(name, b""))
        if name == "agent":
            code = self.job_codes.get(name, self.exit_code)
            return FakeJob(lines=self.lines, run_for=self.run_for, code=code, answer=answer, stdin=Stdin.TAKE)
        return FakeJob(code=self.job_codes.get(name, 0), answer=answer)
