"""The composition root: opens everything, wires it, closes it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from app.domain.errors import Refused
from app.settings import Settings
from app.store import accounts
from app.store.database import Database, sqlite_url
from app.supervision.data_folder import hold_data_folder
from app.supervision.doorbell import Doorbell
from app.supervision.kept_door import KeptDoor
from app.supervision.proving import Proving
from app.supervision.supervisor import Supervisor
from app.supervision.warden_link import WardenLink, wanted_stop_port, warden_command
from app.web.access import Remembered
from app.web.errors import EXCEPTION_HANDLERS
from app.web.live.event_stream import Streaming
from app.web.live.feeds import open_feeds
from app.web.middleware import SecurityHeaders
from app.web.passwords import Passwords
from app.web.routes import TABLE
from app.web.state import AppState
from app.web.stop_commands import stop_commands
from app.web.stop_door import StopDoor
from app.web.templates import Pages
from app.web.throttle import Throttle
from sandbox_runner.docker_driver import DockerDriver
from sandbox_runner.driver import Driver

VERSION = "0.1.0"
WARDEN_ACTIONS = ("stop", "freeze")
#: Largest request body. No form or API call of ours comes near it.
MAX_BODY = 256 * 1024
#: Names the health check and the commands on this machine use, whatever the server is called outside.
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


def create_app(settings: Settings, *, driver: Driver | None = None) -> Starlette:
    """The whole server as an ASGI application. `driver` None: a Docker Engine, as the settings say.

    Everything is opened by the application's lifespan and closed when it ends.
    """

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[AppState]:
        async with open_state(settings, driver) as state:
            yield state

    public = [host.strip() for host in settings.allowed_hosts.split(",") if host.strip()]
    hosts = [*public, *LOOPBACK]
    app = Streaming(
        routes=TABLE,
        lifespan=lifespan,
        max_body_size=MAX_BODY,
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False),
        ],
        exception_handlers=EXCEPTION_HANDLERS,
    )
    app.router.redirect_slashes = False
    return app


@asynccontextmanager
async def open_state(settings: Settings, driver: Driver | None = None) -> AsyncIterator[AppState]:
    """Everything behind the pages, open. Raises `Unavailable` when another server holds the data folder."""
    if settings.warden_action not in WARDEN_ACTIONS:
        raise Refused(
            f"{settings.warden_action!r} is not one", where="CRUCIBLE_WARDEN_ACTION", todo="Use stop or freeze."
        )
    async with AsyncExitStack() as stack:
        instance = stack.enter_context(hold_data_folder(settings.data))
        db = await Database.open(settings.database or sqlite_url(settings.data))
        stack.push_async_callback(db.close)
        await accounts.prune(db, now=time.time())
        warden = None
        if driver is None:
            driver = DockerDriver(settings.docker_host or None)
            stack.push_async_callback(driver.close)
            if settings.warden:
                command, words = warden_command(settings, instance), settings.data / "warden.log"
                door = KeptDoor.of(settings.data, host=settings.host, wanted=wanted_stop_port(settings))
                warden = WardenLink(command, door=door, log_file=words, leave=settings.leave_running)
                stack.push_async_callback(warden.close)
        supervisor = await stack.enter_async_context(
            Supervisor(db=db, driver=driver, settings=settings, doorbell=Doorbell(), instance=instance, warden=warden)
        )
        proving = await stack.enter_async_context(
            Proving(db=db, driver=driver, image=settings.base_image, refused=supervisor.runtimes.refused)
        )
        pages, commands = Pages(), stop_commands(settings)
        feeds = await stack.enter_async_context(
            open_feeds(db=db, supervisor=supervisor, settings=settings, pages=pages, commands=commands)
        )
        yield AppState(
            settings=settings,
            db=db,
            supervisor=supervisor,
            proving=proving,
            pages=pages,
            feeds=feeds,
            throttle=Throttle(),
            passwords=Passwords(),
            remembered=Remembered(),
            stop_commands=commands,
            stop_door=_stop_door(settings, warden),
            version=VERSION,
            started_at=time.time(),
        )


def _stop_door(settings: Settings, warden: WardenLink | None) -> StopDoor:
    key = b"" if warden is None else warden.door.key
    port = (lambda: 0) if warden is None else (lambda: warden.door.port)
    return StopDoor(key=key, port=port, secure=settings.secure_cookies)
