"""Settings: read from the environment, and refused with the variable's name if they are invalid."""

from __future__ import annotations

import pytest

from chalicelib import config
from chalicelib.config import Settings, read
from chalicelib.endpoints import read_aws
from testkit import template


def test_every_setting_has_a_default_and_an_empty_variable_counts_as_unset() -> None:
    assert read({}) == Settings()
    assert read({name.upper(): "" for name in Settings.__struct_fields__}) == Settings()


def test_a_setting_is_read_from_its_name_in_capitals() -> None:
    settings = read({"STACK": "shop", "RESEND_AFTER_S": "5", "ACCESS": "token"})

    assert (settings.stack, settings.resend_after_s, settings.access) == ("shop", 5, "token")
    assert (settings.orders_table, settings.tokens_table) == ("shop-orders", "shop-tokens")
    assert (settings.orders_queue, settings.dead_queue) == ("shop-orders", "shop-dead")


@pytest.mark.parametrize("text", ["five", "-1", "1.5", " 5", "1e3"])
def test_a_value_that_is_not_a_whole_number_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="RESEND_AFTER_S"):
        read({"RESEND_AFTER_S": text})


def test_an_unknown_access_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="ACCESS='closed'"):
        read({"ACCESS": "closed"})


def test_in_lambda_access_is_never_open() -> None:
    function = {"AWS_LAMBDA_FUNCTION_NAME": "f"}

    for access in ({}, {"ACCESS": "open"}):
        with pytest.raises(ValueError, match="ACCESS is open"):
            read({**function, **access})
    assert read({**function, "ACCESS": "token"}).access == "token"


def test_input_and_result_must_fit_into_one_response_together() -> None:
    most = config.MAX_BODY_BYTES - Settings().max_result_bytes
    assert read({"MAX_INPUT_BYTES": str(most)}).max_input_bytes == most
    with pytest.raises(ValueError, match="both may be in one response"):
        read({"MAX_INPUT_BYTES": str(most + 1)})


def test_what_is_not_spilled_must_fit_into_a_row() -> None:
    assert 2 * config.MAX_INLINE_BYTES <= config.MAX_ROW_BYTES - config.ROW_RESERVE_BYTES
    with pytest.raises(ValueError, match="SPILL_BYTES=65537"):
        read({"SPILL_BYTES": "65537"})


def test_files_must_outlive_their_orders() -> None:
    with pytest.raises(ValueError, match="must be at least 12, a day more"):
        read({"FILE_DAYS": "11"})
    with pytest.raises(ValueError, match="must be at least 13"):
        read({"MAX_AGE_S": str(4 * 86400 + 1)})


def test_a_file_is_one_upload() -> None:
    with pytest.raises(ValueError, match="the most that S3 takes in one request"):
        read({"MAX_FILE_BYTES": str(5 * 2**30 + 1)})


def test_the_template_sets_only_variables_of_settings() -> None:
    names = {name.upper() for name in Settings.__struct_fields__}

    for function in ("APIHandler", "OrderWorker"):
        assert (
            set(template.load()["Resources"][function]["Properties"]["Environment"]["Variables"])
            <= names
        )


@pytest.mark.parametrize(
    ("environ", "there"),
    [
        ({}, False),
        ({"AWS_PROFILE": "work"}, False),
        ({"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE"}, False),
        ({"AWS_ACCESS_KEY_ID": "ASIAIOSFODNN7EXAMPLE"}, False),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_ENDPOINT_URL": ""}, False),
        ({"AWS_ACCESS_KEY_ID": "testing"}, True),
        (
            {
                "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
                "AWS_ENDPOINT_URL": "http://127.0.0.1:4566",
            },
            True,
        ),
        ({"AWS_ACCESS_KEY_ID": "ASIAIOSFODNN7EXAMPLE", "AWS_LAMBDA_FUNCTION_NAME": "f"}, True),
    ],
)
def test_no_real_account_is_reached_by_accident(environ: dict[str, str], there: bool) -> None:
    for service in ("dynamodb", "sqs"):
        hint = read_aws(environ, Settings()).missing(service)

        assert (hint is None) is there
        assert there or "`make run`" in str(hint)


def test_an_endpoint_of_one_service_allows_calls_to_that_service_only() -> None:
    real_key = {
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:9324",
    }
    aws = read_aws(real_key, Settings())

    assert aws.missing("sqs") is None
    assert "`make run`" in str(aws.missing("dynamodb"))


def test_the_region_is_lambdas_then_the_shells_then_a_default() -> None:
    assert read_aws({"AWS_REGION": "a", "AWS_DEFAULT_REGION": "b"}, Settings()).region == "a"
    assert read_aws({"AWS_DEFAULT_REGION": "b"}, Settings()).region == "b"
    assert read_aws({}, Settings()).region == "us-east-1"


def test_secrets_are_not_in_the_repr() -> None:
    aws = read_aws(
        {"AWS_SECRET_ACCESS_KEY": "very-secret", "AWS_SESSION_TOKEN": "very-secret"}, Settings()
    )
    assert "very-secret" not in repr(aws)


def test_a_variable_set_after_import_takes_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    before = config.settings()
    monkeypatch.setenv("MAX_WAIT_S", "7")
    assert config.settings().max_wait_s == 7

    monkeypatch.setenv("MAX_WAIT_S", "never")
    with pytest.raises(ValueError, match="MAX_WAIT_S"):
        config.settings()

    monkeypatch.delenv("MAX_WAIT_S")
    assert config.settings() == before


def test_a_variable_that_is_not_a_setting_causes_no_new_reading(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Keep clients across invocations, though Lambda sets a trace id for each."""
    settings = config.settings()
    aws = config.aws()
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "Root=1-2")

    assert config.settings() is settings
    assert config.aws() is aws
