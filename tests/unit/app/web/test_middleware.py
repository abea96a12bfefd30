"""The content policy names nothing but ourselves."""

from app.web.middleware import content_policy


def test_the_policy_lets_nothing_in_from_elsewhere() -> None:
    parts = {words[0]: words[1:] for words in (part.split() for part in content_policy("abc").split("; "))}
    assert parts["default-src"] == ["'none'"]
    assert parts["script-src"] == ["'self'", "'nonce-abc'"]
    assert parts["base-uri"] == parts["frame-ancestors"] == ["'none'"]
    assert parts["form-action"] == parts["connect-src"] == parts["style-src"] == ["'self'"]
    assert parts["require-trusted-types-for"] == ["'script'"]
    assert "unsafe" not in content_policy("abc")
    assert "http" not in content_policy("abc")


def test_without_a_page_there_is_no_nonce() -> None:
    assert "nonce" not in content_policy()


def test_the_wardens_door_is_the_one_other_address_a_page_may_send_to() -> None:
    with_door = content_policy("abc", "http://localhost:4711")

    assert "connect-src 'self' http://localhost:4711;" in with_door
    assert with_door.replace(" http://localhost:4711", "") == content_policy("abc")
