"""A server in this process, and the file by which commands of the same data folder find it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import resource
import secrets
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from app.domain.errors import Unavailable
from app.main import create_app
from app.settings import Settings
from app.store import accounts
from app.store.database import Database, sqlite_url
from app.supervision.data_folder import hold_data_folder
from app.web.server import Server
from app.web.sign_in import create_sign_in_link, needs_first_sign_in
from sandbox_runner.driver import Driver

#: Bytes the kernel holds for a connection beyond what is on its way.
UNSENT_BYTES = 128 * 1024
#: Seconds without any progress until the kernel cuts a connection. Longer than a stream waits for a stuck reader.
CUT_SECONDS = 30.0
TOKEN_NAME = "command line"
FILE = "server.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a server is and how a command is let in."""

    url: str
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalServer:
    """A running server of this process."""

    server: Server
    serving: asyncio.Task[None]
    address: Address
    link: str | None  #: the one-time sign-in link, while no password is set


def allow_many_connections() -> None:
    """For a process that serves many: it takes as many open files as it may have."""
    # Shells and services often begin with 1024 open files: a thousand pages would leave none for a stop.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def find_server(settings: Settings) -> Address | None:
    """The server that commands should talk to; None when none is known. Whether it answers is another question."""
    if settings.server:
        return Address(url=settings.server.rstrip("/"), token=settings.token)
    try:
        found = json.loads((settings.data / FILE).read_text())
        return Address(url=found["url"], token=settings.token or found["token"])
    except (OSError, ValueError, KeyError):
        return None


@contextlib.asynccontextmanager
async def local_server(
    settings: Settings, driver: Driver | None, *, until_signal: bool = False
) -> AsyncIterator[LocalServer]:
    """Serve in this process while the context is open; ready when entered.

    `until_signal`: SIGTERM and SIGINT end the serving in good order; otherwise they are the caller's.
    Raises `Unavailable` when the port is taken or another server has the data folder.
    """
    listening = _listen(settings.host, settings.port)
    with listening:
        port = listening.getsockname()[1]
        token, link = await _prepare(settings, port)
        config = uvicorn.Config(
            create_app(settings, driver=driver),
            log_config=None,
            access_log=False,  # It would write one-time links into the log.
            server_header=False,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=5,
            lifespan="on",
        )
        server = Server(config, until_signal=until_signal)
        serving = asyncio.create_task(server.serve(sockets=[listening]), name="server")
        # "Every address" is one to listen on; our own commands come by the loopback one.
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
        host = f"[{host}]" if ":" in host else host
        address = Address(url=f"http://{host}:{port}", token=token)
        try:
            await _started(server, serving)
            _announce(settings.data / FILE, address)
            yield LocalServer(server=server, serving=serving, address=address, link=link)
        finally:
            (settings.data / FILE).unlink(missing_ok=True)
            server.should_exit = True
            await asyncio.wait({serving})


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Connections inherit these. Who has stopped reading costs the kernel no more than this, and when its stream was
    # given up it is cut off; without that the kernel would offer it the rest for ever.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(CUT_SECONDS * 1000))
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise Unavailable(
            f"cannot listen on {host}:{port}: {error.strerror}. Is Crucible running already? "
            "Choose another port with --port or CRUCIBLE_PORT."
        ) from None
    return listening


async def _prepare(settings: Settings, port: int) -> tuple[str, str | None]:
    """Migrate, make the command line's token, and a sign-in link while there is no password."""
    with hold_data_folder(settings.data):
        db = await Database.open(settings.database or sqlite_url(settings.data))
        try:
            user = await accounts.administrator(db)
            for old in await accounts.tokens(db, user.id):
                if old.name == TOKEN_NAME:
                    await accounts.revoke_token(db, user.id, old.id)
            secret = secrets.token_urlsafe(32)
            token = await accounts.create_token(db, user.id, secret, TOKEN_NAME, at=time.time(), expires_at=None)
            here = dataclasses.replace(settings, port=port)
            link = await create_sign_in_link(db, here) if await needs_first_sign_in(db) else None
        finally:
            await db.close()
    return f"crc_{token.id}_{secret}", link


async def _started(server: uvicorn.Server, serving: asyncio.Task[None]) -> None:
    while not server.started:
        if serving.done():
            serving.result()
            raise Unavailable("the server did not start; its messages say why")
        await asyncio.sleep(0.02)


def _announce(file: Path, address: Address) -> None:
    """Readable by the owner only: whoever reads it may stop and start runs."""
    temporary = file.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as out:
        json.dump({"url": address.url, "token": address.token, "pid": os.getpid()}, out)
    temporary.replace(file)
