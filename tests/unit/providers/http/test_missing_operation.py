"""Answers that say that an upstream lacks an operation, told apart from those that lack a model."""

import pytest

from genai_spine.providers.http.missing_operation import missing_operation


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (404, "File Not Found"),
        (404, "Not Found"),
        (404, "404 page not found"),
        (404, "404 page not found\n"),
        (404, "Invalid URL (POST /v1/audio/translations)"),
        (404, "Resource not found"),
        (404, "Unexpected endpoint or method. (POST /v1/files)"),
        (404, "Cannot POST /v1/embeddings"),
        (404, "Unknown request URL: POST /v1/x. Please check the URL for typos"),
        (404, "<!DOCTYPE html><html><body>nginx</body></html>"),
        (405, "Method Not Allowed"),
        (501, "This server does not support embeddings. Start it with `--embeddings`"),
        (501, "model m is not supported here"),
    ],
)
def test_missing_operation_is_unsupported(status: int, message: str) -> None:
    found = missing_operation("llamacpp", status, message, "m1")
    assert found is not None
    assert (found.reason_name, found.retryable) == ("UNSUPPORTED_OPERATION", False)
    assert str(found).startswith(f"provider llamacpp does not offer this operation: it answers HTTP {status}")


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (404, "The model `m1` does not exist or you do not have access to it."),
        (404, "model: m1"),
        (404, "model 'm1' not found"),
        (404, "Model not found"),
        (404, "No endpoints found for m1."),
        (404, "models/m1 is not found for API version v1main"),
        (404, "No such File object: file-1"),
        (400, "Not Found"),
        (500, "File Not Found"),
        (503, ""),
        (404, ""),  # it does not say what is missing: most likely the model
        (404, "HTTP 404"),
    ],
)
def test_missing_operation_is_nothing_that_is_about_a_model_or_another_status(
    status: int, message: str
) -> None:
    assert missing_operation("openai", status, message, "m1") is None
