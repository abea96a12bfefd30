"""What stands around every page (base.html), and the pages that stand for any other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from app.web.contexts.fragments import Strip
from app.web.parts import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """`frame` on every page."""

    title: str
    section: str  #: wall, evaluations, alerts, new, health, audit, account, "" : the current navigation entry
    user: str  #: "" for a stranger: then no navigation, no strip
    csrf: str
    nonce: str
    version: str
    now: float
    path: str  #: this page, for forms that come back to it (field `next`)
    strip: Strip | None
    commands: tuple[str, ...]  #: ways to stop everything without this page
    notice: str = ""  #: said once after a redirect: "Stop received."
    stop_door: str = ""  #: origin of the warden's door, for a STOP that gets no answer; "": there is none
    stop_token: str = ""  #: this session's leave to use it


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmPage:
    """pages/confirm.html: STOP ALL pressed without JavaScript asks once (POST /stop-all without confirm=yes)."""

    template: ClassVar[str] = "pages/confirm.html"

    frame: Frame
    live: int
    queued: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorPage:
    """pages/error.html, any error."""

    template: ClassVar[str] = "pages/error.html"

    frame: Frame
    status: int  #: 400, 403, 404, 409, 500, 503 …
    word: str  #: "Not found"
    problem: Problem
