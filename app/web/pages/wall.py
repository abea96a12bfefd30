"""GET / : everything that runs, at a glance. POST /words: with what agents write, or without."""

from __future__ import annotations

import time
from urllib.parse import urlencode

from markupsafe import Markup
from starlette.responses import RedirectResponse, Response

from app.web.access import Visitor
from app.web.answers import frame_of, page
from app.web.asked import form_of, text_field
from app.web.contexts.wall import WallPage
from app.web.cross_site import local_path
from app.web.pages.streams import EVERYTHING
from app.web.state import WebRequest
from app.web.views.strip import queue_of
from app.web.views.wall import DENSE, form_of_wall, tools_of
from app.web.wall_query import chosen, wall_of
from app.web.words import remember_words, shows_words


async def wall(request: WebRequest, visitor: Visitor) -> Response:
    """The runs that the address asks for; its stream goes on with the same."""
    query, words = wall_of(request.query_params.multi_items()), shows_words(request)
    seen = await request.state["feeds"].wall().look(at_once=True)
    wanted = chosen(query, seen.cards, me=visitor.name)
    for card in wanted:
        await seen.entries[card.run.id].in_turn(words=words)
        seen.entries[card.run.id].html(words=words)
    key = query.address() or EVERYTHING
    context = WallPage(
        frame=await frame_of(request, visitor, title="Wall", section="wall"),
        cards=tuple(Markup(seen.entries[card.run.id].html(words=words)) for card in wanted),
        dense=len(wanted) > DENSE,
        tools=tools_of(query, seen.cards, shown=len(wanted), me=visitor.name),
        form=form_of_wall(query, seen.cards),
        words=words,
        queue=await queue_of(request.state["db"], request.state["settings"], now=time.time()),
        wall=key,
        stream=f"/stream?{urlencode({'wall': key})}",
    )
    return page(request, context)


async def set_words(request: WebRequest, _visitor: Visitor) -> Response:
    form = await form_of(request)
    answer = RedirectResponse(local_path(text_field(form, "next")) or "/", status_code=303)
    remember_words(request, answer, shown=text_field(form, "words") != "hidden")
    return answer
