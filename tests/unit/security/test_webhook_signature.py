"""Signatures of webhooks: the example of the specification, and secrets as they are written."""

import base64

import pytest

from genai_spine.security.webhook_signature import secret_bytes, signed_headers

# The vector that libraries of the specification are tested with:
# https://github.com/standard-webhooks/standard-webhooks/blob/main/libraries/javascript/src/webhook.test.ts
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID, TIME_S, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_specifications_example_is_signed_as_there() -> None:
    assert signed_headers([secret_bytes(SECRET)], ID, TIME_S, BODY) == {
        "webhook-id": ID,
        "webhook-timestamp": str(TIME_S),
        "webhook-signature": SIGNATURE,
    }


def test_without_a_secret_nothing_is_signed() -> None:
    assert signed_headers([], ID, TIME_S, BODY) == {"webhook-id": ID, "webhook-timestamp": str(TIME_S)}


def test_a_secret_is_base64_behind_its_prefix_or_a_text() -> None:
    assert secret_bytes(SECRET) == base64.b64decode(SECRET.removeprefix("whsec_"))
    assert secret_bytes("correct horse") == b"correct horse"
    with pytest.raises(ValueError, match="base64"):
        secret_bytes("whsec_no base64")


def test_two_secrets_sign_while_one_is_rotated() -> None:
    one, other = (signed_headers([key], ID, TIME_S, BODY)["webhook-signature"] for key in (b"new", b"old"))
    both = signed_headers([b"new", b"old"], ID, TIME_S, BODY)["webhook-signature"]
    assert both == f"{one} {other}"
    assert one != other
