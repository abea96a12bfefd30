"""Process 1 of every sandbox: starts jobs, owns their pipes, relays what they write, ends everything when left alone.

Speaks the protocol of frames.py over its own stdin and stdout. Standard library only, Python 3.9 and newer; run as
`python3 -ISE keeper.py --grace SECONDS` with the package sandbox_runner beside it. One thread, one loop, no
descriptor that can block it.

Everything a job may do is hostile: jobs of other users than root get no capability, no descriptor but their pipes and
nothing of the keeper's environment. Exit codes: 75 no heartbeat for the grace, 76 the deadline passed, 143 SIGTERM.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from typing import Any, NoReturn

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # -I leaves the script's own folder out

from sandbox_runner import frames
from sandbox_runner.frames import BadFrame, Frame, Kind
from sandbox_runner.keeper.jobs import Job, Plan, hide_from_jobs, kill_all, start_job
from sandbox_runner.keeper.outbox import Outbox, Refused

ABANDONED, OVERDUE, TERMINATED = 75, 76, 143
MAX_STDIN = 1024 * 1024  #: bytes of one job's stdin waiting here; the host keeps well below
MAX_REAPED = 512  #: at a time, so that nobody who makes orphans without end is attended to alone
MIN_GRACE = 0.1  #: seconds; below, a busy machine would be taken for a dead host
JOBS_TOLD = 256  #: the latest jobs named in READY


class Keeper:
    """The loop. Control first, then output, then the question whether anybody still watches."""

    def __init__(self, grace: float) -> None:
        self.grace = grace
        self.deadline: float | None = None
        self.heard = self.looped = self.told = time.monotonic()
        self.decoder = frames.Decoder(tolerant=True)
        self.spoiled = 0
        self.outbox = Outbox()
        self.job: Job | None = None
        self.codes: dict[int, int | None] = {}
        self.fed: dict[int, int] = {}  #: job -> bytes of its stdin that came
        self.used_told = 0  #: of these, what the host knows to be used up
        self.listening = True
        self.wake, wake = os.pipe()
        for fd in (0, 1, self.wake, wake):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self.end(TERMINATED))

    def run(self) -> NoReturn:
        while True:
            ready = self._wait()
            if 0 in ready:
                self._listen()
            if self.wake in ready:
                _drain(self.wake)
            self._attend_job(ready)
            self._judge()
            self.outbox.flush(1)

    def end(self, code: int) -> NoReturn:
        if self.job is not None:
            kill_all(self.job.pid)
        os._exit(code)

    def _wait(self) -> set[int]:
        readers, writers = [self.wake], []
        if self.listening:
            readers.append(0)
        if self.outbox.waiting():
            writers.append(1)
        pause = min(1.0, self.grace / 4)
        if self.job is not None:
            if self.outbox.room() > 0:
                readers.extend(self.job.pipes)
            if self.job.stdin is not None and self.job.pending:
                writers.append(self.job.stdin)
            if self.job.code is not None:
                pause = 0.02  # its orphans are being killed and collected
        read, write, _ = select.select(readers, writers, [], pause)
        return {*read, *write}

    def _listen(self) -> None:
        """Take all that has come; only then may the silence be judged."""
        while True:
            try:
                data = os.read(0, 256 * 1024)
            except BlockingIOError:
                break
            if not data:
                self.listening = False
                break
            for frame in self.decoder.feed(data):
                self._obey(frame)
        if self.decoder.spoiled != self.spoiled:
            self.spoiled = self.decoder.spoiled
            self._fault("frames came spoiled")

    def _obey(self, frame: Frame) -> None:
        try:
            if frame.kind == Kind.BEAT:
                self._beat(frame)
            elif frame.kind == Kind.CREDIT:
                self.outbox.acknowledge(frame.offset)
            elif frame.kind == Kind.HELLO:
                self._greet(frames.decode_json(frame.payload))
            elif frame.kind == Kind.START:
                self._start(frames.decode_json(frame.payload))
            elif frame.kind == Kind.FEED:
                self._feed(frame)
            elif frame.kind == Kind.SIGNAL:
                self._signal(frame)
            else:
                raise Refused(f"unknown frame {frame.kind}")
        except (BadFrame, Refused, OSError) as error:
            self._fault(str(error))

    def _beat(self, frame: Frame) -> None:
        now = time.monotonic()
        self.heard = now
        if len(frame.payload) == frames.BEAT.size:
            grace, left = frames.BEAT.unpack(frame.payload)
            if MIN_GRACE <= grace <= frames.MAX_GRACE:
                self.grace = grace
            if left > 0:
                self.deadline = now + left

    def _greet(self, hello: dict[str, Any]) -> None:
        acked = frames.number(hello, "acked", 0, 2**63)
        nonce = bytes.fromhex(frames.strings([hello.get("nonce")], "nonce")[0])
        if len(nonce) != frames.NONCE_BYTES:
            raise BadFrame("nonce is not of 16 bytes")
        self.outbox.window = frames.number(hello, "window", 1, frames.MAX_WINDOW)
        if self.outbox.base <= acked <= self.outbox.produced:
            self.outbox.acknowledge(acked)  # otherwise the host sees from base and produced that it cannot go on
        told = sorted(self.codes)[-JOBS_TOLD:]
        if self.job is not None:
            self.fed[self.job.id], self.used_told = self.job.received, 0
        ready = {
            "protocol": frames.PROTOCOL,
            "grace": self.grace,
            "base": self.outbox.base,
            "produced": self.outbox.produced,
            "jobs": {str(ident): self.codes[ident] for ident in told},
            "fed": {str(ident): self.fed[ident] for ident in told},
        }
        self.spoiled = self.decoder.spoiled  # what the last connection left half sent is nobody's fault
        self.outbox.reopen(nonce + frames.encode_json(Kind.READY, ready))
        self.heard = time.monotonic()

    def _start(self, order: dict[str, Any]) -> None:
        plan = Plan(order)
        if self.job is not None or plan.id in self.codes:
            raise Refused(f"job {plan.id} was started before or another one runs")
        self.codes[plan.id], self.fed[plan.id], self.used_told = None, 0, 0
        try:
            self.job = start_job(plan)
        except OSError as error:
            self._notice(plan.id, {"event": "ended", "code": 127, "reason": str(error)})
            self.codes[plan.id] = 127
            return
        if not self.job.reason:
            self._notice(plan.id, {"event": "started", "pid": self.job.pid})

    def _feed(self, frame: Frame) -> None:
        job = self.job
        if job is None or job.id != frame.job:
            return  # it ended; the host reads so
        if frame.offset != job.received or len(job.pending) + len(frame.payload) > MAX_STDIN:
            raise Refused(f"stdin of job {job.id} came out of order or too fast")
        job.received += len(frame.payload)
        job.eof = job.eof or not frame.payload
        job.pending += frame.payload
        self._write_stdin(job)

    def _write_stdin(self, job: Job) -> None:
        try:
            while job.stdin is not None and job.pending:
                del job.pending[: os.write(job.stdin, job.pending[: frames.MAX_PAYLOAD])]
        except BlockingIOError:
            pass
        except OSError:  # the job closed it
            job.close_stdin()
        if job.stdin is None or (job.eof and not job.pending):
            job.close_stdin()

    def _signal(self, frame: Frame) -> None:
        job, number = self.job, frame.payload[0] if frame.payload else 0
        if job is None or job.id != frame.job or job.code is not None:
            return
        if number == signal.SIGKILL:
            kill_all(job.pid)
        elif 0 < number < signal.NSIG:
            os.killpg(job.pid, number)

    def _attend_job(self, ready: set[int]) -> None:
        job = self.job
        left = self._reap(job)
        if job is None:
            return
        if job.stdin in ready:
            self._write_stdin(job)
        for fd in [fd for fd in job.pipes if fd in ready]:
            self._relay(job, fd)
        if job.used != self.used_told and not self.outbox.crowded():
            self.used_told = job.used
            self.outbox.control(frames.encode(Frame(Kind.FED, job=job.id, offset=job.used)))
        if job.code is None:
            return
        if left:
            kill_all(job.pid)  # one may have been forked while the last round was on its way
        elif not job.pipes:
            job.close_stdin()
            self.codes[job.id], self.fed[job.id] = job.code, job.received
            self._notice(job.id, {"event": "ended", "code": job.code, "reason": job.reason})
            self.job = None

    def _relay(self, job: Job, fd: int) -> None:
        room = min(self.outbox.room(), frames.MAX_PAYLOAD)
        if room <= 0:
            return
        try:
            data = os.read(fd, room)
        except BlockingIOError:
            return
        if data:
            self.outbox.put(job.id, job.pipes[fd], data)
        else:
            del job.pipes[fd]
            os.close(fd)

    def _reap(self, job: Job | None) -> bool:
        """Collect whoever ended, orphans included; when the job's own process did, kill the rest. Any child left?"""
        try:
            for _ in range(MAX_REAPED):
                # Look before collecting: while it is a zombie its number cannot name another group.
                seen = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if seen is None:
                    return True
                if job is not None and seen.si_pid == job.pid:
                    kill_all(job.pid)
                    code = os.waitpid(job.pid, 0)[1]
                    job.code = os.WEXITSTATUS(code) if os.WIFEXITED(code) else 128 + os.WTERMSIG(code)
                else:
                    os.waitpid(seen.si_pid, 0)
        except ChildProcessError:
            return False
        return True

    def _judge(self) -> None:
        now = time.monotonic()
        if now - self.looped > self.grace / 2:
            self.heard = now  # the whole sandbox was frozen or starved, the host may have been there all along
        self.looped = now
        if now - self.heard > self.grace:
            self._listen()
            if now - self.heard > self.grace:
                self.end(ABANDONED)
        if self.deadline is not None and now > self.deadline:
            self.end(OVERDUE)
        if now - self.told >= 1.0 and not self.outbox.crowded():
            self.told = now
            self.outbox.control(frames.encode(Frame(Kind.ALIVE, offset=self.outbox.produced)))

    def _notice(self, job: int, content: dict[str, Any]) -> None:
        self.outbox.put(job, frames.NOTICE, json.dumps(content).encode())

    def _fault(self, text: str) -> None:
        self.outbox.control(frames.encode(Frame(Kind.FAULT, text[:500].encode(errors="replace"))))


def _drain(fd: int) -> None:
    try:
        while os.read(fd, 4096):
            pass
    except BlockingIOError:
        pass


def main(arguments: list[str]) -> NoReturn:
    # By hand: argparse would take a fifth of the time a sandbox needs to be ready.
    try:
        option, value = arguments
        grace = float(value)
    except ValueError:
        option, grace = "", 0.0
    if option != "--grace" or not MIN_GRACE <= grace <= frames.MAX_GRACE:
        sys.exit(f"keeper.py: not '--grace SECONDS' from {MIN_GRACE} to {frames.MAX_GRACE}: {arguments}")
    hide_from_jobs()
    Keeper(grace).run()


if __name__ == "__main__":
    main(sys.argv[1:])
