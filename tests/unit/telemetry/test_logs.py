"""Logs: what happened, and nothing that a log must not hold."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import structlog
from genai_spine.telemetry import logs

def answer(prompt, api_key):
    words = prompt.split()
    raise ValueError("it broke")

logs.configure(readable={readable})
log = structlog.get_logger()
try:
    answer("a secret prompt", "sk-secret")
except ValueError as error:
    log.error("internal_error", request_id="r1", exc_info=error)
log.info("call", code="OK", path=None)
"""


def logged(readable: bool) -> str:
    program = PROGRAM.format(readable=readable)
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    ).stderr


@pytest.mark.parametrize("readable", [True, False])
def test_a_traceback_tells_where_and_holds_no_prompt_and_no_key(readable: bool) -> None:
    text = logged(readable)
    assert "it broke" in text
    assert "answer" in text
    assert "secret" not in text


def test_each_event_is_one_line_of_json_without_what_is_not_known() -> None:
    error, call = (json.loads(line) for line in logged(False).splitlines())
    assert (error["event"], error["level"], error["request_id"]) == ("internal_error", "error", "r1")
    assert (call["event"], call["code"]) == ("call", "OK")
    assert "path" not in call
    assert call["timestamp"].endswith("Z")


LIBRARY = """
import logging
from genai_spine.telemetry import logs

logs.configure(readable=False)
logging.getLogger("python_multipart.multipart").warning("Skipping data after %s", "last boundary")
logging.getLogger("quiet").info("nothing of note")
try:
    raise OSError("gone")
except OSError:
    logging.getLogger("asyncio").exception("it broke")
"""


def test_what_libraries_log_is_a_line_of_json_too() -> None:
    run = subprocess.run(
        [sys.executable, "-c", LIBRARY], capture_output=True, text=True, check=True, timeout=30
    )
    warning, error = (json.loads(line) for line in run.stderr.splitlines())
    assert (warning["event"], warning["level"], warning["logger"]) == (
        "library",
        "warning",
        "python_multipart.multipart",
    )
    assert warning["message"] == "Skipping data after last boundary"
    assert (error["level"], error["exception"][0]["exc_type"]) == ("error", "OSError")
