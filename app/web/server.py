"""uvicorn's server, which says goodbye to streams before it waits for connections to end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator

import uvicorn

#: Seconds between looks for connections that were closed and whose other end does not take the rest.
_LOOK_SECONDS = 0.1


class Server(uvicorn.Server):
    """`until_signal`: SIGTERM and SIGINT end the serving in good order; otherwise they are the caller's.

    uvicorn's own way kills the process with the signal again when it has ended: our own last words would be lost.
    """

    def __init__(self, config: uvicorn.Config, *, until_signal: bool = False) -> None:
        super().__init__(config)
        self._until_signal = until_signal

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        signals = (signal.SIGTERM, signal.SIGINT) if self._until_signal else ()
        for each in signals:
            loop.add_signal_handler(each, self.handle_exit, each, None)
        try:
            yield
        finally:
            for each in signals:
                loop.remove_signal_handler(each)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Readers who read hear the end; one that is stuck costs no more than its farewell."""
        self.lifespan.state["feeds"].leaving.set()
        cutting = asyncio.create_task(self._cut_what_is_closed())
        try:
            await super().shutdown(sockets)
        finally:
            cutting.cancel()

    async def _cut_what_is_closed(self) -> None:
        # A transport that is closed waits until its buffer is taken, and uvicorn waits for the transport.
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            for connection in list(self.server_state.connections):
                transport = connection.transport
                if transport is not None and transport.is_closing() and transport.get_write_buffer_size():
                    transport.abort()
