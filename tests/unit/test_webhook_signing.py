"""Signatures of deliveries."""

from __future__ import annotations

import base64

from chalicelib.webhooks import signing

# https://github.com/standard-webhooks/standard-webhooks/blob/main/libraries/javascript
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
TIMESTAMP = 1614265330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_signature_is_that_of_the_example_of_standard_webhooks() -> None:
    assert signing.sign([SECRET], ID, TIMESTAMP, BODY) == SIGNATURE


def test_each_valid_secret_signs_and_a_space_separates_the_signatures() -> None:
    other = signing.new_secret()
    both = signing.sign([other, SECRET], ID, TIMESTAMP, BODY).split(" ")

    assert both == [signing.sign([other], ID, TIMESTAMP, BODY), SIGNATURE]


def test_the_signature_covers_the_id_the_timestamp_and_the_body() -> None:
    variants = [
        signing.sign([SECRET], ID + "x", TIMESTAMP, BODY),
        signing.sign([SECRET], ID, TIMESTAMP + 1, BODY),
        signing.sign([SECRET], ID, TIMESTAMP, BODY + b" "),
    ]

    assert len({SIGNATURE, *variants}) == 4


def test_a_secret_has_256_random_bits() -> None:
    secrets = {signing.new_secret() for _ in range(10)}

    assert len(secrets) == 10
    assert all(
        len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32
        for secret in secrets
    )
