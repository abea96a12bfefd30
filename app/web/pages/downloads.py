"""GET /runs/{run}/output.txt|jsonl: all of a run's output, or what a query wants of it, as a file; streaming."""

from __future__ import annotations

import json
import zlib
from collections.abc import AsyncIterator, Sequence

import anyio.to_thread
from starlette.responses import Response, StreamingResponse

from app.domain.errors import NotFound
from app.store import export, runs
from app.store.chunk import StoredLine
from app.web.access import Visitor
from app.web.api.shapes import line_json
from app.web.asked import path_id, query_switch
from app.web.output_query import query_of
from app.web.state import WebRequest

FORMS = {"txt": "text/plain; charset=utf-8", "jsonl": "application/x-ndjson"}


async def output(request: WebRequest, _visitor: Visitor) -> Response:
    """The very bytes that were printed so far. A file to keep, never a page: its text is an adversary's."""
    db, run_id, form = request.state["db"], path_id(request, "run"), request.path_params["form"]
    if form not in FORMS:
        raise NotFound("there is no such file: it is output.txt or output.jsonl")
    run = await runs.get(db, run_id)
    query, before = query_of(request), run.lines + 1
    if form == "txt" and query is None:
        content = export.raw(db, run_id, before=before)
    else:
        content = export.rendered(db, run_id, as_text if form == "txt" else as_json_lines, query, before=before)
    packed = query_switch(request, "gzip")
    name = f"run-{run_id}-{'output' if query is None else 'found'}.{form}{'.gz' if packed else ''}"
    return StreamingResponse(
        gzipped(content) if packed else content,
        media_type="application/gzip" if packed else FORMS[form],
        headers={
            "content-disposition": f'attachment; filename="{name}"',
            "content-security-policy": "sandbox; default-src 'none'",
        },
    )


def as_text(lines: Sequence[StoredLine]) -> bytes:
    return b"".join([line.data + b"\n" if line.complete else line.data for line in lines])


def as_json_lines(lines: Sequence[StoredLine]) -> bytes:
    """Pure ASCII: some tools take a Unicode separator for the end of a line, and a terminal obeys what it is shown."""
    return "".join([json.dumps(line_json(line), separators=(",", ":")) + "\n" for line in lines]).encode()


async def gzipped(content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """`content` as a gzip file, compressed in a thread."""
    packer = zlib.compressobj(6, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    async for piece in content:
        packed = await anyio.to_thread.run_sync(packer.compress, piece)
        if packed:
            yield packed
    yield packer.flush()
