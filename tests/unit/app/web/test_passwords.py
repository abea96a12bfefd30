"""Passwords are long, hashed with argon2id and compared without telling who exists."""

import pytest
from argon2 import PasswordHasher

from app.domain.errors import Refused
from app.web.passwords import Passwords, check_new

#: The cheapest parameters that are still argon2id: what is tested is not how long it takes.
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.mark.parametrize(
    ("password", "again", "match"),
    [("short", "short", "Use at least 12"), ("x" * 2000, "x" * 2000, "too long"), ("x" * 12, "y" * 12, "differ")],
)
def test_a_password_that_will_not_do_is_refused_with_what_to_do(password: str, again: str, match: str) -> None:
    with pytest.raises(Refused, match=match):
        check_new(password, again)


def test_a_sentence_will_do() -> None:
    assert check_new("correct horse", "correct horse") == "correct horse"


async def test_only_the_right_password_of_a_user_who_has_one_is_right() -> None:
    passwords = Passwords(CHEAP)
    stored = await passwords.hash("correct horse")
    assert stored.startswith("$argon2id$")
    assert await passwords.verify(stored, "correct horse")
    assert not await passwords.verify(stored, "wrong horse")
    assert not await passwords.verify(None, "nobody has this password")
    assert not await passwords.verify("not a hash", "correct horse")


def test_the_parameters_in_use_are_not_the_cheap_ones() -> None:
    hasher = Passwords()._hasher
    assert (hasher.time_cost, hasher.memory_cost) >= (2, 19 * 1024)
