"""The engine's client and its threads, in lanes that cannot hold each other up. No other module starts a thread."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import docker
import docker.constants
import docker.utils

from sandbox_runner.docker_errors import FOREIGN, translate
from sandbox_runner.driver import EngineUnreachable

T = TypeVar("T")


class Lane:
    """One client with threads of its own, made when first needed: the engine may come up later than we do."""

    def __init__(self, name: str, address: str | None, *, threads: int, timeout: int) -> None:
        """`address` None: as the docker command finds it. `timeout`: seconds of silence within one call."""
        self._address = address
        self._threads = threads
        self._timeout = timeout
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=f"engine-{name}")
        self._lock = threading.Lock()
        self._client: docker.APIClient | None = None

    async def call(self, work: Callable[[docker.APIClient], T]) -> T:
        """`work`, in a thread. Raises only `SandboxError` kinds. A cancelled call goes on in its thread."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._do, work)

    def close(self) -> None:
        """Does not wait for calls under way; their time limits do."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _do(self, work: Callable[[docker.APIClient], T]) -> T:
        client = self._connected()
        try:
            return work(client)
        except FOREIGN as error:
            raise translate(error) from error

    def _connected(self) -> docker.APIClient:
        # Made without holding the lock: an engine that hangs must cost each caller its own time limit only.
        client = self._client or self._connect()
        with self._lock:
            if self._client is None:
                self._client = client
            kept = self._client
        if kept is not client:
            client.close()
        return kept

    def _connect(self) -> docker.APIClient:
        where = {"base_url": self._address} if self._address else docker.utils.kwargs_from_env()
        _knock(str(where.get("base_url") or docker.constants.DEFAULT_UNIX_SOCKET))
        try:
            return docker.APIClient(**where, version="auto", timeout=self._timeout, max_pool_size=self._threads)
        except FOREIGN as error:
            raise EngineUnreachable(f"the container engine does not answer: {error}") from error


def _knock(url: str) -> None:
    """Whether anybody listens at a unix socket: says why not in words, and the package leaks a socket when not."""
    path = url.partition("unix://")[2]
    if not path:
        return
    with socket.socket(socket.AF_UNIX) as door:
        door.settimeout(5)
        try:
            door.connect(path if path.startswith("/") else f"/{path}")
        except OSError as error:
            raise EngineUnreachable(f"no container engine listens at {path}: {error.strerror or error}") from error


async def to_the_end(work: Awaitable[T]) -> T:
    """The result of `work`, which goes on to its end when the caller is cancelled; only then is the caller.

    For what must not be left half done, or cannot be: a call in a thread.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if not task.cancelled():
            task.exception()
        raise cancelled
    return task.result()
