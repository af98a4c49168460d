"""Errors in all the forms in which upstreams and proxies write them."""

import json
from typing import Any

import pytest

from genai_spine.providers.http import error_body
from genai_spine.providers.http.error_body import ErrorBody


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"error": {"message": "x", "type": "t", "code": "c"}}, ErrorBody("x", "c", "t")),
        ({"error": {"message": "x", "code": 429}}, ErrorBody("x", "429", status=429)),
        ({"error": {"message": "x", "code": "503"}}, ErrorBody("x", "503", status=503)),
        ({"error": {"message": "x"}, "code": "402"}, ErrorBody("x", "402", status=402)),
        (
            {"error": {"message": "x", "status": "BUSY", "code": 429}},
            ErrorBody("x", "429", status=429),
        ),
        ([{"error": {"message": "x", "code": 400}}], ErrorBody("x", "400", status=400)),
        ({"error": "x", "statusCode": 401}, ErrorBody("x", "401", status=401)),
        (
            {"object": "error", "message": "x", "type": "Bad", "code": 400},
            ErrorBody("x", "400", "Bad", 400),
        ),
        ({"detail": "x"}, ErrorBody("x")),
        ({"detail": [{"msg": "x", "type": "missing"}]}, ErrorBody("x", type="missing")),
        ({"message": "x", "code": 7}, ErrorBody("x", "7")),
        ({"errors": [{"message": "x", "code": 5007}]}, ErrorBody("x", "5007")),
        ({"error": {"innererror": {"code": "i"}, "message": "x"}}, ErrorBody("x", inner="i")),
        ({"error": {"details": {"error_code": "i"}, "message": "x"}}, ErrorBody("x", inner="i")),
        ({"error": {"metadata": {"flagged_input": "y"}, "message": "x"}}, ErrorBody("x", flagged=True)),
        ({"error": {"message": {"a": 1}}}, ErrorBody('{"a":1}')),
        ({"error": {"code": "c"}}, ErrorBody("", "c")),
        ({}, ErrorBody()),
        (7, ErrorBody("7")),
    ],
)
def test_error_is_read_in_every_form(body: Any, found: ErrorBody) -> None:
    assert error_body.read(json.dumps(body).encode()) == found


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", ""),
        (b"upstream connect error", "upstream connect error"),
        (b"<html><title> 520:\n Web server </title>", "520: Web server"),
        (b"\xef\xbb\xbf<!DOCTYPE html><body><h1>Sorry &lt;you&gt;</h1>", "Sorry <you>"),
        (b"<html></html>", "an HTML page"),
        (b'{"cut": "the answer', ""),
        (b"x" * 5000, "x" * 300),
    ],
)
def test_page_is_its_title_and_broken_json_is_nobodys(body: bytes, text: str) -> None:
    assert error_body.read(body).message == text


@pytest.mark.parametrize(
    ("body", "is_error"),
    [
        ({"object": "error", "message": "x"}, True),
        ({"type": "error"}, True),
        ({"detail": "x"}, True),
        ({"errorMessage": "x"}, True),
        ({"errors": ["x"]}, True),
        ({"error": "x", "choices": []}, True),
        ({"choices": [], "message": "x"}, False),
        ({"error": None}, False),
        ({"message": ""}, False),
        ({"type": "ping"}, False),
        ([], False),
    ],
)
def test_body_is_an_error_or_not(body: Any, is_error: bool) -> None:
    assert error_body.is_error(json.dumps(body).encode()) == is_error
