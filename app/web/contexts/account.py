"""Signing in, and one's own account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from app.web.contexts.frame import Frame
from app.web.parts import Problem, TokenView


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountPage:
    """pages/account.html, GET /account; POST /account/tokens (name, days) shows it with `new_token`, once;
    POST /account/password (current, password, again); POST /account/tokens/{id}/revoke"""

    template: ClassVar[str] = "pages/account.html"

    frame: Frame
    tokens: tuple[TokenView, ...]
    new_token: str  #: "" except right after it was made
    problem: Problem | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInPage:
    """pages/sign_in.html, GET|POST /sign-in (name, password, next, csrf not needed)."""

    template: ClassVar[str] = "pages/sign_in.html"

    frame: Frame
    name: str
    next: str  #: hidden field: where to go afterwards
    problem: Problem | None
    password_set: bool  #: False: the one-time link is needed first
    stop_asked: int | None  #: a stop of this run was asked for with an expired session
    commands: tuple[str, ...]  #: stop it from the command line meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class WelcomePage:
    """pages/welcome.html, GET|POST /welcome/{secret} (password, again)."""

    template: ClassVar[str] = "pages/welcome.html"

    frame: Frame
    valid: bool  #: False: used or expired; say how to make a new one (`crucible sign-in-link`)
    action: str  #: where the form posts
    user: str
    problem: Problem | None
