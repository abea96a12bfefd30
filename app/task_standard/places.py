"""Files as errors name them."""

from __future__ import annotations

from pathlib import Path

from app.settings import ROOT


def told(path: Path) -> str:
    """`path` as a person finds it: from the checkout on where it lies in it, whole where it does not."""
    whole = path.absolute()
    return str(whole.relative_to(ROOT) if whole.is_relative_to(ROOT) else whole)
