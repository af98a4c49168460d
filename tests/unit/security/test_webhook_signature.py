"""Signatures of webhooks: the example of the specification, and secrets as they are written."""

import base64

import pytest

from genai_spine.security.webhook_signature import secret_bytes, signed_headers

# Of the specification's own libraries, for example
# https://github.com/standard-webhooks/standard-webhooks/blob/main/libraries/python/tests/test_webhooks.py
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID, TIME_S, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_specifications_example_is_signed_as_there() -> None:
    assert signed_headers(secret_bytes(SECRET), ID, TIME_S, BODY) == {
        "webhook-id": ID,
        "webhook-timestamp": str(TIME_S),
        "webhook-signature": SIGNATURE,
    }


def test_without_a_secret_nothing_is_signed() -> None:
    assert signed_headers(None, ID, TIME_S, BODY) == {"webhook-id": ID, "webhook-timestamp": str(TIME_S)}


def test_a_secret_is_base64_behind_its_prefix_or_a_text() -> None:
    assert secret_bytes(SECRET) == base64.b64decode(SECRET.removeprefix("whsec_"))
    assert secret_bytes("correct horse") == b"correct horse"
    with pytest.raises(ValueError, match="base64"):
        secret_bytes("whsec_no base64")
