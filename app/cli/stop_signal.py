"""SIGUSR1 to the server stops everything, whatever its event loop does: a thread of its own waits for it."""

from __future__ import annotations

import logging
import signal
import threading
from pathlib import Path

from sandbox_runner import warden_socket
from sandbox_runner.stop_file import StopFile

log = logging.getLogger(__name__)

#: Seconds the warden is given to take the order.
WITHIN = 5.0


def stop_all_on_signal(folder: Path) -> None:
    """From now on. To be called before any thread is started: they inherit that the signal is not theirs."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    threading.Thread(target=_wait, args=(folder,), name="SIGUSR1", daemon=True).start()


def _wait(folder: Path) -> None:
    while True:
        signal.sigwait({signal.SIGUSR1})
        log.critical("SIGUSR1: everything is stopped")
        try:
            order = {"do": "stop", "what": "all", "actor": "signal", "text": "SIGUSR1", "path": "signal"}
            warden_socket.ask(folder, order, within=WITHIN)
        except warden_socket.NoWarden as error:
            log.error("%s; the server acts alone", error)
            StopFile(folder).set(actor="signal", text="SIGUSR1")
