"""Reading what a request asks for: numbers within bounds, texts within a length. Raises `Refused` naming the field."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from starlette.datastructures import FormData

from app.domain.errors import NotFound, Refused
from app.domain.sandboxes import never_granted
from app.web.state import WebRequest

#: No number that is asked for is larger; what is larger would not fit into the database either.
_MOST = 10**15 - 1
_NUMBER = re.compile(r"[0-9]{1,15}")
_MOMENT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")
TEXT = 2000


def path_id(request: WebRequest, name: str) -> int:
    """The id in the path. Raises `NotFound` for what no id can be."""
    text: str = request.path_params[name]
    if not _NUMBER.fullmatch(text):
        raise NotFound(f"there is no {name} {text[:20]!r}")
    return int(text)


def query_number(request: WebRequest, name: str, default: int, *, low: int = 0, high: int = _MOST) -> int:
    text = request.query_params.get(name, "")
    return number_of(text, name, low=low, high=high) if text else default


def number_of(text: str, name: str, *, low: int = 0, high: int = _MOST) -> int:
    """`text`, which was given as `name`, as a number within bounds."""
    if not _NUMBER.fullmatch(text) or not low <= int(text) <= high:
        raise Refused(f"{text[:20]!r} is not a number from {low} to {high}", where=name)
    return int(text)


def query_switch(request: WebRequest, name: str) -> bool:
    """1: on; 0 or missing: off."""
    text = request.query_params.get(name, "0")
    if text not in ("0", "1"):
        raise Refused(f"{text[:20]!r} is neither 0 nor 1", where=name)
    return text == "1"


def query_moment(request: WebRequest, name: str) -> float:
    """Unix seconds."""
    text = request.query_params.get(name, "")
    if not _MOMENT.fullmatch(text):
        raise Refused(f"{text[:20]!r} is not a time in unix seconds", where=name)
    return float(text)


def require_known_query(request: WebRequest, known: frozenset[str]) -> None:
    """Refuses parameters nobody reads: a mistyped filter would give everything."""
    for name in request.query_params:
        if name not in known:
            todo = f"Use {', '.join(sorted(known))}." if known else "This address takes none."
            raise Refused(f"there is no parameter {name[:60]!r}", where="query", todo=todo)


async def form_of(request: WebRequest) -> FormData:
    """Raises `Refused` for a body in an alphabet that Python knows and texts are not written in."""
    try:
        return await request.form(max_files=0, max_fields=500)
    except UnicodeError:
        raise Refused("is not text", where="body", todo="Send UTF-8.") from None


def text_field(form: FormData, name: str, *, limit: int = TEXT) -> str:
    """The field without outer blanks, "" when missing."""
    value = form.get(name, "")
    if not isinstance(value, str):
        raise Refused("is a file", where=name, todo="Send text.")
    if len(value) > limit:
        raise Refused(f"is {len(value)} characters long", where=name, todo=f"Use at most {limit}.")
    # A form that names its own alphabet can hold halves of signs, which no text has.
    return value.encode(errors="replace").decode().strip()


async def json_of(request: WebRequest) -> Mapping[str, object]:
    """The body as a JSON object; an empty body is an empty one."""
    body = await request.body()
    if not body:
        return {}
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(f"cannot be read as JSON: {error}", where="body") from None
    if not isinstance(data, dict):
        raise Refused("is not a JSON object", where="body", todo='Send for example {"text": "…"}.')
    return data


def json_text(data: Mapping[str, object], name: str, *, limit: int = TEXT) -> str:
    value = data.get(name, "")
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > limit:
        raise Refused(f"is not a text of at most {limit} characters", where=name)
    return value.strip()


def json_flag(data: Mapping[str, object], name: str) -> bool:
    value = data.get(name, False)
    if not isinstance(value, bool):
        raise Refused("is neither true nor false", where=name)
    return value


def require_known(data: Mapping[str, object], known: frozenset[str]) -> None:
    """Refuses fields nobody reads: a mistyped name should not pass in silence."""
    for name in data:
        if name not in known and (why := never_granted(str(name)[:60])) is not None:
            raise Refused(f"asks for {str(name)[:60]}", where="body", todo=f"No sandbox gets it: {why}.")
        if name not in known:
            raise Refused(
                f"there is no field {str(name)[:60]!r}", where="body", todo=f"Use {', '.join(sorted(known))}."
            )
