"""The URL table: the whole site on one screen. The word before each line says who may use it (`guards.py`)."""

from __future__ import annotations

from starlette.routing import BaseRoute, Mount

from app.web.api import alerts as api_alerts
from app.web.api import evaluations as api_evaluations
from app.web.api import health as api_health
from app.web.api import runs as api_runs
from app.web.api import stops as api_stops
from app.web.api import suites as api_suites
from app.web.guards import anyone, person, program, stream
from app.web.output_query import LOOKED_FOR
from app.web.pages import (
    account,
    alerts,
    audit,
    compare,
    downloads,
    evaluations,
    health,
    moments,
    new,
    output,
    runs,
    sign_in,
    stops,
    streams,
    wall,
)
from app.web.static import Static

TABLE: tuple[BaseRoute, ...] = (
    person("GET", "/", wall.wall),  # ?state=, suite=, agent=, model=, q=, attention=1, mine=1, sort=
    person("POST", "/words", wall.set_words),  # words=shown or hidden, next
    person("POST", "/stream/seen", streams.seen),  # stream, run (many)
    person("GET", "/new", new.form),  # ?suite=, task=, agent= fill it in
    person("POST", "/evaluations", new.submit),
    person("GET", "/evaluations", evaluations.index),  # ?before=
    person("GET", "/evaluations/{evaluation}", evaluations.results),
    person("POST", "/evaluations/{evaluation}/stop", stops.stop_evaluation, hurry=True),  # kind=stop|emergency, text
    person("GET", "/runs/{run}", runs.show),  # ?line=N, ?at=TIME
    person("GET", "/compare", compare.compare),  # ?run=1&run=2
    person("GET", "/runs/{run}/lines", output.lines),  # ?before=|after=|around=&limit=&mark=1 and a query: JSON rows
    person("GET", "/runs/{run}/search", output.find),  # ?after= and a query (output_query.py): JSON lines
    person("GET", "/runs/{run}/outline", output.outline),  # ?buckets=
    person("GET", "/runs/{run}/moment", output.moment),  # ?at=
    person("GET", "/runs/{run}/past", moments.past),  # ?at=
    person("GET", "/runs/{run}/usage", moments.points),  # ?since=&until=&points=
    person("GET", "/runs/{run}/output.{form}", downloads.output),  # txt or jsonl; ?gzip=1 and a query
    person("POST", "/runs/{run}/stop", stops.stop, hurry=True),  # kind=stop|emergency, text, next
    person("POST", "/runs/{run}/reason", stops.reason),  # receipt, text, next
    person("POST", "/runs/{run}/freeze", stops.freeze),  # text, next
    person("POST", "/runs/{run}/thaw", stops.thaw),  # next
    person("POST", "/runs/{run}/attend", stops.attend),  # next
    person("POST", "/runs/{run}/again", stops.again),
    person("POST", "/stop-all", stops.stop_all, hurry=True),  # confirm=yes, text, next; without confirm it asks
    person("POST", "/release", stops.release),  # text
    person("GET", "/alerts", alerts.index),  # ?all=1
    person("POST", "/alerts/{alert}/acknowledge", alerts.acknowledge),  # next
    person("POST", "/alerts/{alert}/resolve", alerts.resolve),  # next
    person("GET", "/health", health.health),  # ?proof=
    person("POST", "/health/prove", health.prove),
    person("POST", "/drill", stops.drill),
    person("GET", "/audit", audit.index),  # ?before=
    person("GET", "/account", account.show),
    person("POST", "/account/tokens", account.create_token),  # name, days
    person("POST", "/account/tokens/{token}/revoke", account.revoke_token),
    person("POST", "/account/password", account.change_password),  # current, password, again
    person("POST", "/sign-out", sign_in.sign_out),
    # strangers too
    anyone("GET", "/sign-in", sign_in.form),  # ?next=
    anyone("POST", "/sign-in", sign_in.sign_in),  # name, password, next
    anyone("GET", "/welcome/{secret}", sign_in.welcome),
    anyone("POST", "/welcome/{secret}", sign_in.set_password),  # password, again
    anyone("GET", "/healthz", health.healthz),
    Mount("/static", Static()),
    # one endless answer a page
    stream("/stream", streams.stream),  # ?run=42&after=, ?wall= or ?house=1
    # programs, below /api/v1, each with the parameters it reads
    program("GET", "/suites", api_suites.suites),
    program("GET", "/agents", api_suites.agents),
    program("GET", "/evaluations", api_evaluations.index, "before", "limit"),
    program("POST", "/evaluations", api_evaluations.submit),
    program("GET", "/evaluations/{evaluation}", api_evaluations.get),
    program("POST", "/evaluations/{evaluation}/stop", api_stops.stop_evaluation, hurry=True),
    program("GET", "/runs", api_runs.index, "state", "evaluation", "before", "limit"),
    program("GET", "/runs/{run}", api_runs.get),
    program("GET", "/runs/{run}/events", api_runs.events, "after", "limit"),
    program("GET", "/runs/{run}/evidence", api_runs.evidence),
    program("GET", "/runs/{run}/output", api_runs.output, "after", "limit", "since", *LOOKED_FOR),
    program("GET", "/runs/{run}/stream", api_runs.stream, "after"),
    program("POST", "/runs/{run}/stop", api_stops.stop, hurry=True),
    program("POST", "/runs/{run}/freeze", api_stops.freeze),
    program("POST", "/runs/{run}/thaw", api_stops.thaw),
    program("POST", "/runs/{run}/again", api_stops.again),
    program("POST", "/stop-all", api_stops.stop_all, hurry=True),
    program("POST", "/release", api_stops.release),
    program("GET", "/alerts", api_alerts.index, "run", "status", "before", "limit"),
    program("GET", "/health", api_health.health),
)
