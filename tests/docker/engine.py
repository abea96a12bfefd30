"""An engine of a test's own, which the test may kill: its own daemon, folders and socket, and no network at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

IMAGE = "crucible-base:current"
#: Seconds after which an engine that does not answer is given up.
PATIENCE = 60.0


class Engine:
    """`folder` must be short: the path of a socket has room for about a hundred characters."""

    def __init__(self, folder: Path, *, disk_bytes: int = 0) -> None:
        """`disk_bytes`: its images and layers lie on a disk of their own of that size; 0: on that of `folder`."""
        self.folder = folder
        self.address = f"unix://{folder}/docker.sock"
        self.log = folder / "dockerd.log"
        self._process: subprocess.Popen[bytes] | None = None
        if disk_bytes:
            self._make_disk(disk_bytes)

    @property
    def data(self) -> Path:
        """Where its images and layers lie."""
        return self.folder / "data"

    def _make_disk(self, size: int) -> None:
        disk = self.folder / "disk"
        self.data.mkdir(parents=True)
        with disk.open("wb") as file:
            file.truncate(size)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", str(disk)], check=True, timeout=60)
        subprocess.run(["mount", "-o", "loop", str(disk), str(self.data)], check=True, timeout=60)

    def start(self) -> None:
        """Until it answers. What an earlier daemon of this folder left is its business now."""
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = self.folder / "daemon.json"
        settings.write_text("{}")  # Not those of this machine's own engine.
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [
                    # A network namespace of its own: a daemon without a bridge takes the machine's `docker0` away.
                    *("unshare", "--net", "dockerd"),
                    *("--data-root", str(self.data), "--exec-root", str(self.folder / "exec")),
                    *("--pidfile", str(self.folder / "pid"), "--host", self.address),
                    *("--bridge", "none", "--iptables=false", "--ip6tables=false", "--config-file", str(settings)),
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE
        while self._ask("version").returncode != 0:
            assert self._process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < deadline, f"the engine does not answer\n{self.log.read_text()[-3000:]}"
            time.sleep(0.1)

    def bring_image(self) -> None:
        """The base image, from the engine that all tests use."""
        with subprocess.Popen(["docker", "save", IMAGE], stdout=subprocess.PIPE) as saving:
            subprocess.run(["docker", "--host", self.address, "load"], stdin=saving.stdout, check=True, timeout=180)

    def kill(self) -> None:
        """As a crash would: the daemon and the one below it are gone, what runs goes on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(10)
        below = self.folder / "exec/containerd/containerd.pid"
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError):
            os.kill(int(below.read_text()), signal.SIGKILL)
        # A number that another process got, or that nobody has collected yet, would be taken for the living daemon.
        below.unlink(missing_ok=True)
        (self.folder / "pid").unlink(missing_ok=True)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def reboot(self) -> None:
        """As far as a test can: nothing runs any more, and what lies in memory is gone. It does not start again."""
        self.kill()
        self._kill_all()
        self._unmount("exec")
        shutil.rmtree(self.folder / "exec", ignore_errors=True)

    def _kill_all(self) -> None:
        """Whatever was started for it, and what runs below that."""
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if f"{self.folder}/exec".encode() not in Path(f"/proc/{name}/cmdline").read_bytes():
                    continue
                for child in _children(int(name)):
                    os.kill(child, signal.SIGKILL)
                os.kill(int(name), signal.SIGKILL)

    def _unmount(self, below: str) -> None:
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for mount in sorted((each for each in mounts if each.startswith(f"{self.folder / below}/")), reverse=True):
            subprocess.run(["umount", "--lazy", mount], check=False, timeout=30)

    def end(self) -> None:
        """In good order, and its folder away."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
        self._kill_all()
        self._unmount("")
        shutil.rmtree(self.folder, ignore_errors=True)

    def containers(self, *filters: str) -> list[str]:
        """In any state."""
        words = [word for each in filters for word in ("--filter", each)]
        return self._ask("ps", "--all", "--quiet", "--no-trunc", *words).stdout.split()

    def images(self) -> set[str]:
        """All of them, by name; those without one too."""
        return set(self._ask("images", "--all", "--format", "{{.Repository}}:{{.Tag}}").stdout.split())

    def pid(self, container: str) -> int:
        """Its process 1 on this host; 0 when it does not run."""
        return int(self._ask("inspect", "--format", "{{.State.Pid}}", container).stdout.strip() or 0)

    def _ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["docker", "--host", self.address, *words], capture_output=True, text=True, check=False, timeout=60
        )


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
