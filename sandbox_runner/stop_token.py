"""A page's leave to have the warden stop: whose it is, until when, and for pages of which origin. Signed, not secret.

The server signs with a key that it hands to its warden over their own pipe; the warden needs no database to check.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import asdict, dataclass

#: Letters of a token.
MOST = 2000


class BadToken(Exception):
    """Not one of ours, too old, or of another origin. Says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """`session` tells sessions apart, and is no secret of one."""

    who: str
    session: str
    origin: str  #: as a browser writes it: http://localhost:8700
    until: float  #: unix seconds


def signed(key: bytes, leave: Leave) -> str:
    said = base64.urlsafe_b64encode(json.dumps(asdict(leave)).encode()).decode()
    return f"{said}.{_mark(key, said)}"


def read(key: bytes, token: str, *, origin: str, now: float) -> Leave:
    """What `signed` signed. Raises `BadToken`."""
    said, _, mark = token.partition(".")
    if not key or len(token) > MOST or not hmac.compare_digest(mark.encode(), _mark(key, said).encode()):
        raise BadToken("this is not a token of this server")
    try:
        leave = Leave(**json.loads(base64.urlsafe_b64decode(said)))
    except (ValueError, TypeError, binascii.Error):
        raise BadToken("this token says nothing") from None
    if leave.origin != origin:
        raise BadToken("this token is for pages of another origin")
    if leave.until <= now:
        raise BadToken("this token's session is over")
    return leave


def _mark(key: bytes, said: str) -> str:
    return hmac.new(key, b"crucible stop\0" + said.encode(errors="replace"), hashlib.sha256).hexdigest()
