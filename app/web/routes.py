"""The URL table: the whole site on one screen.

`TABLE` is data; `app.main` joins it to the handlers. `guard` says who may come in: everything is for signed-in people
except what says `Guard.ANYONE`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Guard(enum.Enum):
    """Who may use a route."""

    ANYONE = "anyone"  #: a stranger as well
    PERSON = "person"  #: a browser session; a stranger is led to sign in
    STREAM = "stream"  #: a browser session; a stranger gets 401 and no redirect
    API = "api"  #: a bearer token or a browser session; a stranger gets 401 as JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row of the table. `handler` is "module.function" below app.web."""

    path: str
    methods: tuple[str, ...]
    handler: str
    guard: Guard


def _row(guard: Guard, methods: str, path: str, handler: str) -> Line:
    return Line(path=path, methods=tuple(methods.split("|")), handler=handler, guard=guard)


def _page(methods: str, path: str, handler: str) -> Line:
    return _row(Guard.PERSON, methods, path, f"pages.{handler}")


def _api(methods: str, path: str, handler: str) -> Line:
    return _row(Guard.API, methods, f"/api/v1{path}", f"api.{handler}")


TABLE: tuple[Line, ...] = (
    # people
    _page("GET", "/", "wall.wall"),
    _page("GET", "/new", "new.form"),
    _page("POST", "/evaluations", "new.submit"),
    _page("GET", "/evaluations", "evaluations.index"),
    _page("GET", "/evaluations/{evaluation:int}", "evaluations.results"),
    _page("GET", "/runs/{run:int}", "runs.page"),
    _page("GET", "/runs/{run:int}/lines", "runs.lines"),  # ?before=N&limit=500: JSON rows, for "load older"
    _page("GET", "/runs/{run:int}/output.txt", "runs.output"),
    _page("POST", "/runs/{run:int}/stop", "stops.stop"),  # kind=stop|emergency, text; next
    _page("POST", "/runs/{run:int}/reason", "stops.reason"),  # receipt, text
    _page("POST", "/runs/{run:int}/freeze", "stops.freeze"),  # text
    _page("POST", "/runs/{run:int}/thaw", "stops.thaw"),
    _page("POST", "/runs/{run:int}/again", "stops.again"),
    _page("POST", "/stop-all", "stops.stop_all"),  # confirm=yes, text; without confirm it asks
    _page("POST", "/release", "stops.release"),  # text
    _page("GET", "/alerts", "alerts.index"),
    _page("POST", "/alerts/{alert:int}/acknowledge", "alerts.acknowledge"),
    _page("POST", "/alerts/{alert:int}/resolve", "alerts.resolve"),
    _page("GET", "/health", "health.page"),
    _page("GET", "/audit", "audit.page"),
    _page("GET", "/account", "account.page"),
    _page("POST", "/account/tokens", "account.create_token"),  # name, days
    _page("POST", "/account/tokens/{token:int}/revoke", "account.revoke_token"),
    _page("POST", "/account/password", "account.change_password"),  # current, password, again
    _page("POST", "/sign-out", "sign_in.sign_out"),
    # strangers
    _row(Guard.ANYONE, "GET", "/sign-in", "pages.sign_in.form"),
    _row(Guard.ANYONE, "POST", "/sign-in", "pages.sign_in.sign_in"),  # name, password, next
    _row(Guard.ANYONE, "GET", "/welcome/{secret}", "pages.sign_in.welcome"),
    _row(Guard.ANYONE, "POST", "/welcome/{secret}", "pages.sign_in.set_password"),  # password, again
    _row(Guard.ANYONE, "GET", "/healthz", "pages.health.healthz"),
    # streams
    _row(Guard.STREAM, "GET", "/stream", "pages.streams.stream"),  # ?wall=1 or ?run=42, after=
    # programs
    _api("GET", "/suites", "suites.suites"),
    _api("GET", "/agents", "suites.agents"),
    _api("GET", "/evaluations", "evaluations.index"),
    _api("POST", "/evaluations", "evaluations.submit"),
    _api("GET", "/evaluations/{evaluation:int}", "evaluations.get"),
    _api("GET", "/runs", "runs.index"),
    _api("GET", "/runs/{run:int}", "runs.get"),
    _api("GET", "/runs/{run:int}/events", "runs.events"),
    _api("GET", "/runs/{run:int}/output", "runs.output"),
    _api("GET", "/runs/{run:int}/stream", "runs.stream"),
    _api("POST", "/runs/{run:int}/stop", "stops.stop"),
    _api("POST", "/runs/{run:int}/freeze", "stops.freeze"),
    _api("POST", "/runs/{run:int}/thaw", "stops.thaw"),
    _api("POST", "/runs/{run:int}/again", "stops.again"),
    _api("POST", "/stop-all", "stops.stop_all"),
    _api("POST", "/release", "stops.release"),
    _api("GET", "/alerts", "alerts.index"),
    _api("GET", "/health", "health.health"),
)
