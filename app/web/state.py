"""What every handler gets: opened by `app.main`, closed by it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypedDict

from starlette.requests import Request
from starlette.responses import Response

from app.settings import Settings
from app.store.database import Database
from app.supervision.proving import Proving
from app.supervision.supervisor import Supervisor
from app.web.live.feeds import Feeds
from app.web.passwords import Passwords
from app.web.templates import Pages
from app.web.throttle import Throttle

if TYPE_CHECKING:
    from app.web.access import Remembered
    from app.web.stop_commands import StopCommands
    from app.web.stop_door import StopDoor


class AppState(TypedDict):
    """The lifespan's state."""

    settings: Settings
    db: Database
    supervisor: Supervisor
    proving: Proving
    pages: Pages
    feeds: Feeds
    throttle: Throttle
    passwords: Passwords
    remembered: Remembered
    stop_commands: StopCommands
    stop_door: StopDoor
    version: str
    started_at: float  #: unix seconds; also tells pages that the server is another one


WebRequest = Request[AppState]
Answer = Awaitable[Response]
OpenHandler = Callable[[WebRequest], Answer]
