"""Templates and the one way to render: a dataclass of the contexts goes in, HTML comes out."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import ClassVar, Protocol

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from app.settings import ROOT
from app.web.filters import FILTERS, spark

STATIC = ROOT / "static"


class Context(Protocol):
    """A frozen dataclass that names its template."""

    template: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[object]]]


class Pages:
    """The open templates."""

    def __init__(self, folder: Path = ROOT / "templates", static: Path = STATIC) -> None:
        self._static = static
        self._digests: dict[str, str] = {}
        self._environment = Environment(
            loader=FileSystemLoader(folder),
            autoescape=True,  # The default escapes by file name only.
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals.update(static=self.static, fragment=self.fragment, spark=spark)
        self._environment.filters.update(FILTERS)

    def render(self, context: Context) -> str:
        """The page or fragment. What a template may use are the context's fields."""
        return self._environment.get_template(context.template).render(_fields(context))

    def fragment(self, context: Context) -> Markup:
        """A fragment inside a page: `{{ fragment(frame.strip) }}`."""
        return Markup(self.render(context))

    def static(self, path: str) -> str:
        """The address of a file below static/, with the digest of its content: it may be kept for ever."""
        if path not in self._digests:
            content = (self._static / path).read_bytes()
            self._digests[path] = hashlib.sha256(content).hexdigest()[:12]
        return f"/static/{path}?v={self._digests[path]}"


def _fields(context: Context) -> dict[str, object]:
    """The fields as they are: nested views stay objects."""
    return {name: getattr(context, name) for name in context.__dataclass_fields__}
