"""What a request looks for in a run's output: ?q=, regex=1, case=1, inverse=1, stream=1|2, level=error|…|none."""

from __future__ import annotations

from collections.abc import Mapping

from app.domain.errors import Refused
from app.domain.levels import Level
from app.store.query import Query
from app.web.asked import number_of, query_switch
from app.web.state import WebRequest

#: The parameters that say it.
LOOKED_FOR = ("q", "regex", "case", "inverse", "stream", "level")
LEVELS: Mapping[str, Level] = {level.name.lower(): level for level in sorted(Level, reverse=True)}
STREAMS: Mapping[str, int] = {"1": 1, "2": 2}


def query_of(request: WebRequest) -> Query | None:
    """None when every line is wanted. Raises `Refused` for a pattern, a switch, a stream or a level that is none."""
    asked = request.query_params
    names = [name for name in asked.getlist("level") if name]
    for name in names:
        if name not in LEVELS:
            raise Refused(f"there is no level {name[:40]!r}", where="level", todo=f"Use {', '.join(LEVELS)}.")
    query = Query(
        pattern=asked.get("q", ""),
        regex=query_switch(request, "regex"),
        case=query_switch(request, "case"),
        inverse=query_switch(request, "inverse"),
        streams=frozenset(number_of(text, "stream", low=1, high=2) for text in asked.getlist("stream") if text),
        levels=frozenset(LEVELS[name] for name in names),
    )
    return query if query.pattern or query.streams or query.levels else None
