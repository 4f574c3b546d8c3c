"""What a handshake presents -> who the client is."""

from __future__ import annotations

import pytest

from service.admission import UNAUTHORIZED, Refusal
from service.auth import Identity, identify
from service.events import UserId


@pytest.mark.parametrize(
    ("auth", "user"),
    [
        ({"userId": "u1"}, "u1"),
        ({"userId": 42}, "42"),
        ({"userId": "u1", "token": "x", "recovery": True}, "u1"),
    ],
)
def test_a_client_is_who_it_says_it_is(auth: object, user: str) -> None:
    assert identify(auth, max_id_chars=8) == Identity(UserId(user))


@pytest.mark.parametrize(
    "auth", [None, {}, {"userId": None}, {"user": "u1"}, [], ["u1"], "u1", 42, True]
)
def test_who_does_not_say_who_it_is_is_unauthorized(auth: object) -> None:
    assert identify(auth, max_id_chars=8) is UNAUTHORIZED


@pytest.mark.parametrize("user", ["", "x" * 9, True, 1.5, {"id": 1}, ["u1"], "a\nb"])
def test_a_user_id_that_cannot_be_one_is_invalid(user: object) -> None:
    refusal = identify({"userId": user}, max_id_chars=8)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "invalid_user"
