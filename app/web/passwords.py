"""Passwords: argon2id, off the event loop, few at a time."""

from __future__ import annotations

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from app.domain.errors import Refused

SHORTEST = 12
#: Longer ones are refused before they are hashed: hashing reads all of it.
LONGEST = 1024
#: Hashes at once. Each takes 64 MiB and a core for some 50 ms; the server must go on beside them.
AT_ONCE = 2


def check_new(password: str, again: str) -> str:
    """The password, if it may be used. Raises `Refused` with what to do."""
    if len(password) < SHORTEST:
        raise Refused(
            f"the password has {len(password)} characters", todo=f"Use at least {SHORTEST}; a sentence is good."
        )
    if len(password) > LONGEST:
        raise Refused("the password is too long", todo=f"Use at most {LONGEST} characters.")
    if any("\ud800" <= sign <= "\udfff" for sign in password):
        raise Refused("the password holds half a sign, which no keyboard can type again", todo="Choose another.")
    if password != again:
        raise Refused("the two passwords differ", todo="Type the same one twice.")
    return password


class Passwords:
    """Hashes and verifies."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._few = asyncio.Semaphore(AT_ONCE)
        self._nobody: str | None = None

    async def hash(self, password: str) -> str:
        async with self._few:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether it is right. Takes as long when there is no such user, so that names cannot be told apart."""
        if self._nobody is None:
            self._nobody = await self.hash("nobody has this password")
        async with self._few:
            right = await asyncio.to_thread(self._matches, stored or self._nobody, password[:LONGEST])
        return right and stored is not None

    def _matches(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError, UnicodeError):
            return False
