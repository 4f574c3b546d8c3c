"""Answers to what is not carried out: statuses, headers, bodies."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from pathlib import Path

import pytest

from constellation_ws.api.problems import STATUSES, MethodRefused, problem
from constellation_ws.services.refusals import PartlyPublished, RequestRefused
from tests.processes import REPOSITORY

CODE = re.compile(r'(?:RequestRefused|\.__init__)\(\s*(?:self, )?"([a-z_]+)"')


@pytest.mark.parametrize("code", STATUSES)
def test_a_refusal_has_its_status_and_says_why(code: str) -> None:
    answer = problem(RequestRefused(code, "a sentence"))

    assert answer.status is STATUSES[code]
    assert json.loads(answer.body) == {"error": {"code": code, "message": "a sentence"}}
    assert answer.outcome == code
    assert (b"content-type", b"application/json") in answer.headers


@pytest.mark.parametrize("status", [HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE])
def test_what_passes_by_itself_says_when_to_try_again(status: HTTPStatus) -> None:
    codes = [code for code, one in STATUSES.items() if one is status]

    for code in codes:
        assert (b"retry-after", b"1") in problem(RequestRefused(code, "")).headers


def test_an_unknown_caller_is_asked_for_a_key() -> None:
    headers = problem(RequestRefused("unauthorized", "")).headers

    assert (b"www-authenticate", b"Bearer") in headers


def test_another_method_names_those_that_there_are() -> None:
    answer = problem(MethodRefused("GET, HEAD"))

    assert answer.status is HTTPStatus.METHOD_NOT_ALLOWED
    assert (b"allow", b"GET, HEAD") in answer.headers


def test_a_part_that_was_published_is_told() -> None:
    answer = problem(PartlyPublished([True, False]))

    assert answer.status is HTTPStatus.SERVICE_UNAVAILABLE
    assert json.loads(answer.body)["accepted"] == [True, False]


@pytest.mark.parametrize("package", ["api", "services"])
def test_every_code_has_a_status(package: str) -> None:
    sources = Path(REPOSITORY, "service", "constellation_ws", package).glob("*.py")
    codes = {code for source in sources for code in CODE.findall(source.read_text("utf-8"))}

    assert codes
    assert codes <= STATUSES.keys()
