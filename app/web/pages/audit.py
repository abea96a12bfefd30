"""GET /audit: who did what. Read-only, for everyone."""

from __future__ import annotations

from starlette.responses import Response

from app.store import audit
from app.store.audit import AuditEntry
from app.web.access import Visitor
from app.web.answers import frame_of, page
from app.web.asked import query_number
from app.web.contexts.house import AuditPage
from app.web.parts import AuditEntryView
from app.web.state import WebRequest
from app.web.text import visible

PAGE = 100


async def index(request: WebRequest, visitor: Visitor) -> Response:
    before = query_number(request, "before", 0) or None
    entries = await audit.read(request.state["db"], before=before, limit=PAGE)
    context = AuditPage(
        frame=await frame_of(request, visitor, title="Audit", section="audit"),
        entries=tuple(_view(entry) for entry in entries),
        older=f"/audit?before={entries[-1].id}" if len(entries) == PAGE else None,
    )
    return page(request, context)


def _view(entry: AuditEntry) -> AuditEntryView:
    return AuditEntryView(
        id=entry.id,
        at=entry.at,
        actor=visible(entry.actor),
        action=entry.action,
        subject=visible(entry.subject),
        detail=visible(entry.detail),
    )
