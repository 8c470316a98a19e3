"""Settings: read from an environment, refused where they can't work; and whether there is a cloud."""

from __future__ import annotations

from dataclasses import fields

import pytest

from chalicelib.config import Settings, cloud, read, region
from tests.kit import template


def test_every_setting_has_a_default_and_an_empty_variable_is_none() -> None:
    assert read({}) == Settings()
    assert read({field.name.upper(): "" for field in fields(Settings)}) == Settings()


def test_a_setting_is_its_variable_in_capitals() -> None:
    settings = read({"STACK": "shop", "GRACE_S": "5", "ACCESS": "token"})

    assert (settings.stack, settings.grace_s, settings.access) == ("shop", 5, "token")
    assert (settings.orders_table, settings.tokens_table) == ("shop-orders", "shop-tokens")
    assert (settings.orders_queue, settings.dead_queue) == ("shop-orders", "shop-dead")


@pytest.mark.parametrize("text", ["five", "-1", "1.5", " 5", "1e3"])
def test_a_number_that_is_none_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="GRACE_S"):
        read({"GRACE_S": text})


def test_an_access_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="ACCESS='closed'"):
        read({"ACCESS": "closed"})


def test_in_lambda_access_is_never_open() -> None:
    function = {"AWS_LAMBDA_FUNCTION_NAME": "f"}

    for access in ({}, {"ACCESS": "open"}):
        with pytest.raises(ValueError, match="ACCESS is open"):
            read({**function, **access})
    assert read({**function, "ACCESS": "token"}).access == "token"


def test_the_template_sets_only_what_is_a_setting() -> None:
    names = {field.name.upper() for field in fields(Settings)}

    for function in ("APIHandler", "OrderWorker"):
        assert set(template.load()["Resources"][function]["Properties"]["Environment"]["Variables"]) <= names


@pytest.mark.parametrize(
    ("environ", "there"),
    [
        ({}, False),
        ({"AWS_PROFILE": "work"}, False),
        ({"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE"}, False),
        ({"AWS_ACCESS_KEY_ID": "ASIAIOSFODNN7EXAMPLE"}, False),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_ENDPOINT_URL": ""}, False),
        ({"AWS_ACCESS_KEY_ID": "testing"}, True),
        ({"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_ENDPOINT_URL": "http://127.0.0.1:4566"}, True),
        ({"AWS_ACCESS_KEY_ID": "ASIAIOSFODNN7EXAMPLE", "AWS_LAMBDA_FUNCTION_NAME": "f"}, True),
    ],
)
def test_no_real_account_is_reached_by_accident(environ: dict[str, str], there: bool) -> None:
    why = cloud(environ)

    assert (why is None) is there
    assert there or "`make run`" in str(why)


def test_the_region_is_lambdas_then_the_shells_then_one_for_moto() -> None:
    assert region({"AWS_REGION": "a", "AWS_DEFAULT_REGION": "b"}) == "a"
    assert region({"AWS_DEFAULT_REGION": "b"}) == "b"
    assert region({}) == "us-east-1"
