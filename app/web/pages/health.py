"""GET /health: how Crucible itself is. GET /healthz: whether it lives, for anyone."""

from __future__ import annotations

import dataclasses
import shutil
import time

from starlette.responses import PlainTextResponse, Response

from app.domain.drills import SUITE as DRILL
from app.domain.drills import Drill, drill_of
from app.domain.errors import CrucibleError
from app.domain.proofs import Proof
from app.proof.versions import counted, warnings
from app.settings import Settings
from app.store import events, hold, proofs, runs
from app.store import stops as store_stops
from app.store.database import Database
from app.web.access import Visitor
from app.web.answers import frame_of, page, redirect
from app.web.contexts.fragments import Strip
from app.web.contexts.house import HealthPage
from app.web.filters import bytes_text, duration_text
from app.web.parts import Check, SettingView, StopPathView
from app.web.state import AppState, WebRequest
from app.web.stop_commands import StopCommands
from app.web.views.proof import progress_view, proof_row, proof_view
from app.web.views.runtimes import runtime_check
from app.web.views.stops import drill_view, latency_rows, since_last

#: Below this the record may soon have no room.
LITTLE_DISK = 1024**3
#: The newest stops, whose times are told, and the newest drills.
STOPS_COUNTED, DRILLS_READ, DRILLS_SHOWN = 1000, 50, 10

#: Ways that need this server to answer.
FROM_PAGES = (
    ("STOP on the run page, or Shift+K and Enter", "stops one run"),
    ("STOP ALL in the header", "stops everything and holds the queue"),
    ("STOP on an evaluation's page", "stops all runs of it"),
    ("POST /api/v1/stop-all", "stops everything, for programs"),
)


def without_page(commands: StopCommands) -> tuple[tuple[str, str], ...]:
    """Whole lines for a terminal, with what each does."""
    lines = (
        (commands.panic, "stops everything and holds the queue, whether this server answers or not"),
        (commands.stop_file, "the same, without a program of ours; needs the warden or this server"),
        (commands.signal, "the same, by a signal to this server"),
        (commands.stop_all, "the same, through the warden's socket; a run's number instead of --all stops that one"),
        (commands.kill_all, "kills every sandbox of this server; needs only the container engine, and holds no queue"),
    )
    return tuple((line, text) for line, text in lines if line)


async def health(request: WebRequest, visitor: Visitor) -> Response:
    state = request.state
    frame = await frame_of(request, visitor, title="Health", section="health")
    proving = state["proving"]
    recent = await proofs.recent(state["db"])
    shown = await _asked(request, recent)
    drills = await _drills(state["db"])
    old = warnings(await proving.versions())
    context = HealthPage(
        frame=frame,
        latencies=latency_rows(await store_stops.proven(state["db"], limit=STOPS_COUNTED)),
        drills=tuple(drill_view(drill) for drill in drills[:DRILLS_SHOWN]),
        last_drill=since_last(drills, time.time()),
        proof=proof_view(shown) if shown is not None else None,
        proofs=tuple(proof_row(proof) for proof in recent),
        under_way=progress_view(proving.under_way) if proving.under_way is not None else None,
        failure=proving.failure,
        warnings=tuple((each.text, each.escape.source) for each in old),
        versions=counted(old),
        checks=checks(state, frame.strip) if frame.strip else (),
        settings=settings_shown(state["settings"]),
        commands=without_page(state["stop_commands"]),
        from_pages=FROM_PAGES,
    )
    return page(request, context)


async def _drills(db: Database) -> list[Drill]:
    """Newest first."""
    found = await runs.select(db, suite=DRILL, limit=DRILLS_READ, narrow=True)
    receipts = await store_stops.of_runs(db, [run.id for run in found])
    return [drill_of(run, await events.read(db, run.id, limit=100), receipts.get(run.id, [])) for run in found]


async def _asked(request: WebRequest, recent: list[Proof]) -> Proof | None:
    wanted = request.query_params.get("proof", "")
    if wanted.isascii() and wanted.isdigit() and len(wanted) < 10:
        return await proofs.get(request.state["db"], int(wanted))
    return recent[0] if recent else None


async def prove(request: WebRequest, visitor: Visitor) -> Response:
    """Begin a proof of the sandbox."""
    await request.state["proving"].begin(actor=visitor.name)
    return redirect("/health?said=proving")


def checks(state: AppState, strip: Strip) -> tuple[Check, ...]:
    """Facts about this server, each good or not."""
    free = shutil.disk_usage(state["settings"].data).free
    engine, held, busy = strip.engine, strip.hold, strip.live - strip.counts.get("queued", 0)
    return (
        Check(label="Container engine", value=engine.text, good=engine.reachable),
        Check(label="Stop path", value=_proof(strip.stop_path), good=strip.stop_path.proven),
        runtime_check(state["supervisor"].runtimes),
        Check(label="Queue", value=f"held by {held.actor}: {held.text}" if held else "going", good=held is None),
        Check(
            label="Slots", value=f"{busy} of {strip.slots} taken, {strip.counts.get('queued', 0)} waiting", good=True
        ),
        Check(label="Open alerts", value=str(strip.alerts_open), good=strip.alerts_open == 0),
        Check(label="Pages watching", value=str(state["feeds"].readers), good=True),
        Check(label="Disk left for the record", value=bytes_text(free), good=free > LITTLE_DISK),
        Check(label="Up for", value=duration_text(time.time() - state["started_at"]), good=True),
        Check(label="Version", value=state["version"], good=True),
    )


def _proof(path: StopPathView) -> str:
    if path.proven:
        return f"proven {path.age:.0f} s ago in {path.ms:.0f} ms" + (", with the warden" if path.warden else "")
    last = f"; last proven {duration_text(path.age)} ago" if path.proven_at else ""
    return f"UNPROVEN: {path.problem or 'no proof came'}{last}"


def settings_shown(settings: Settings) -> tuple[SettingView, ...]:
    """All settings; the database's address may hold a password and is not shown."""
    shown = []
    for field in dataclasses.fields(Settings):
        value, changed = getattr(settings, field.name), getattr(settings, field.name) != field.default
        text = "(set, not shown)" if field.name == "database" and value else _as_written(value)
        variable = f"CRUCIBLE_{field.name.upper()}"
        shown.append(
            SettingView(variable=variable, value=text, changed=changed, text=field.metadata["text"].replace("`", ""))
        )
    return tuple(shown)


def _as_written(value: object) -> str:
    """A setting's value as its variable takes it."""
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


async def healthz(request: WebRequest) -> Response:
    """200 when the server and its database answer. Says nothing else: strangers may ask."""
    try:
        await hold.current(request.state["db"])
    except CrucibleError:
        return PlainTextResponse("the database does not answer\n", 503)
    return PlainTextResponse("ok\n")
