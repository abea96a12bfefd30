"""From `scripts/run` on a prepared machine to the first page, beside the time Python itself takes to start.

.venv/bin/python benchmarks/start.py [--runs 5]
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def first_page(data: Path) -> float:
    """Seconds from `scripts/run` to the sign-in page."""
    port = free_port()
    environment = {**os.environ, "CRUCIBLE_DATA": str(data), "CRUCIBLE_PORT": str(port)}
    begun = time.monotonic()
    process = subprocess.Popen(
        ["scripts/run"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while time.monotonic() - begun < 60:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/sign-in", timeout=5) as page:
                    page.read()
                return time.monotonic() - begun
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.01)
        raise SystemExit("the server did not start within 60 s")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def bare_python() -> float:
    begun = time.monotonic()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return time.monotonic() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        print(f"first start, empty data folder   {first_page(data):6.2f} s")
        later = [first_page(data) for _ in range(runs)]
    reference = [bare_python() for _ in range(runs)]
    median, bare = statistics.median(later), statistics.median(reference)
    print(f"second start to the first page   {median:6.2f} s  (median of {runs}, max {max(later):.2f}; target 3.00)")
    print(f"reference: python -c pass        {bare:6.2f} s  (ratio {median / bare:.0f})")


if __name__ == "__main__":
    main()
