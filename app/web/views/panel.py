"""The run page's status and its alerts, as they are now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from app.domain.attendance import Attended
from app.domain.events import LimitReached, OutputCounted, PhaseEntered, Recorded, RunFroze, RunThawed
from app.domain.runs import Phase, Run
from app.domain.stops import Receipt
from app.store import alerts, events, evidence, runs, stops, usage
from app.store.database import Database
from app.store.usage import UsagePoint
from app.supervision.recorder import Account
from app.web.contexts.fragments import AlertList, Panel
from app.web.filters import bytes_text, duration_text
from app.web.parts import LimitView, WatcherView
from app.web.text import visible_block
from app.web.views.alerts import alert_view
from app.web.views.events import event_view, lost_bytes, phases
from app.web.views.runs import fraction, receipt_view, run_view
from app.web.views.sandbox import sandbox_facts
from app.web.views.steps import steps

#: Events shown, newest first; all are in the API.
EVENTS_SHOWN = 200
_FIRST = 1000


async def panel_of(
    db: Database,
    run_id: int,
    *,
    now: float,
    watchers: tuple[WatcherView, ...] = (),
    account: Account | None = None,
    attended: Attended | None = None,
    commands: tuple[str, ...] = (),
) -> tuple[Panel, int]:
    """The panel and the seq of the last event it knows; `commands` are other ways to stop it. Raises `NotFound`."""
    run = await runs.get(db, run_id)
    recorded = await _events(db, run_id)
    receipts = await stops.of_run(db, run_id)
    sealed = await evidence.digests(db, run_id) if receipts else {}
    plain = panel_from(run, recorded, receipts, await usage.peak(db, run_id), now=now, sealed=sealed)
    panel = replace(plain, watchers=watchers, printed=_printed(recorded, account), attended=attended, commands=commands)
    return panel, recorded[-1].seq if recorded else 0


def panel_from(
    run: Run,
    recorded: Sequence[Recorded],
    receipts: Sequence[Receipt],
    peak: UsagePoint | None,
    *,
    now: float,
    sealed: Mapping[int, str] = MappingProxyType({}),
) -> Panel:
    """The panel of what is given. `sealed`: receipt -> SHA-256 of its evidence. Pure."""
    return Panel(
        run=run_view(run, now=now),
        receipts=tuple(receipt_view(receipt, sealed.get(receipt.id, "")) for receipt in reversed(receipts)),
        phases=phases(recorded),
        steps=steps(recorded),
        limits=limits_of(run, recorded, peak, now=now),
        sandbox=sandbox_facts(run),
        instructions=visible_block(run.instructions or ""),
        submission=None if run.submission is None else visible_block(run.submission),
        events=tuple(event_view(one) for one in reversed(recorded[-EVENTS_SHOWN:])),
        lost_bytes=lost_bytes(recorded),
        watchers=(),
        printed=_printed(recorded, None),
        commands=(),
    )


def _printed(recorded: Sequence[Recorded], account: Account | None) -> int | None:
    """What its keeper says it printed, lost bytes included: now, or when its last sandbox was left."""
    if account is not None:
        return account.printed + account.cut + lost_bytes(recorded)
    counted = [one.event for one in recorded if isinstance(one.event, OutputCounted)]
    return counted[-1].printed + lost_bytes(recorded) if counted else None


async def alerts_of(db: Database, run_id: int) -> AlertList:
    found = await alerts.select(db, run=run_id)
    return AlertList(run=run_id, alerts=tuple(alert_view(alert) for alert in found))


async def _events(db: Database, run_id: int) -> Sequence[Recorded]:
    """The first thousand (the phases are among them) and the newest ones."""
    recorded = await events.read(db, run_id, limit=_FIRST)
    if len(recorded) == _FIRST:
        last = await events.last_seq(db, run_id)
        recorded += await events.read(db, run_id, after=max(recorded[-1].seq, last - EVENTS_SHOWN), limit=EVENTS_SHOWN)
    return recorded


def limits_of(run: Run, recorded: Sequence[Recorded], peak: UsagePoint | None, *, now: float) -> tuple[LimitView, ...]:
    """Each limit with what was used of it, where that is measured."""
    limits = run.limits
    reached = {one.event.limit: one.event.used for one in recorded if isinstance(one.event, LimitReached)}
    wall = reached.get("wall_seconds", worked(recorded, until=run.ended_at or now))
    cpu = reached.get("cpu_seconds", peak.cpu_seconds if peak else None)
    memory = peak.memory_bytes if peak else None
    cores = peak.cpu_max if peak else None
    pids = peak.pids if peak else None
    disk = peak.disk_used_bytes if peak else None
    return (
        _limit("wall_seconds", "Wall time", limits.wall_seconds, wall, duration_text),
        _limit("cpu_seconds", "CPU time", limits.cpu_seconds, cpu, duration_text),
        _limit("memory_bytes", "Memory, peak", limits.memory_bytes, memory, bytes_text),
        _limit("cpus", "CPUs, peak", limits.cpus, cores, lambda value: f"{value:.2g}"),
        _limit("pids", "Processes, peak", limits.pids, pids, lambda value: f"{value:.0f}"),
        _limit("disk_bytes", "Disk, peak", limits.disk_bytes, disk, bytes_text),
        _limit("output_bytes", "Output", limits.output_bytes, run.bytes, bytes_text),
        _limit("idle_seconds", "Idle time", limits.idle_seconds, None, duration_text),
        _limit("unattended_seconds", "Unattended", limits.unattended_seconds, None, duration_text),
    )


def worked(recorded: Sequence[Recorded], *, until: float) -> float | None:
    """Seconds its agent worked up to `until` (unix seconds), frozen times left out; None before it began."""
    seconds, since, begun, agent = 0.0, None, False, False
    for one in recorded:
        match one.event:
            case PhaseEntered(phase=phase):
                seconds += one.at - since if since is not None else 0.0
                agent = phase == Phase.AGENT
                begun = begun or agent
                since = one.at if agent else None
            case RunFroze() if since is not None:
                seconds, since = seconds + one.at - since, None
            case RunThawed() if agent:
                since = one.at
    if not begun:
        return None
    return max(0.0, seconds + (until - since if since is not None else 0.0))


def _limit(name: str, label: str, allowed: float, used: float | None, text: Callable[[float], str]) -> LimitView:
    """`allowed`: 0 is no limit."""
    return LimitView(
        name=name,
        label=label,
        allowed=text(allowed) if allowed else "",
        used="" if used is None else text(used),
        fraction=None if used is None else fraction(used, allowed),
    )
