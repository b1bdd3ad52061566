import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import pytest
from pydantic import field_validator

from svckit.settings import DEVELOPMENT_ONLY, Settings, SettingsError, load


class ShopSettings(Settings):
    """A service's settings, as services write them."""

    database_url: Annotated[str, DEVELOPMENT_ONLY] = "postgresql://localhost/shop"
    currency: str
    workers: int = 4

    @field_validator("currency")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in ("EUR", "USD"):
            raise ValueError("must be EUR or USD")
        return value


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """These variables and no others."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def loaded(**variables: str) -> ShopSettings:
    with environment(**variables):
        return load(ShopSettings)


def problems(**variables: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        loaded(**variables)
    return caught.value.problems


def test_development_needs_only_what_has_no_default() -> None:
    settings = loaded(CURRENCY="EUR")

    assert (settings.production, settings.log_level, settings.log_format) == (False, "info", "json")
    assert (settings.currency, settings.workers) == ("EUR", 4)


def test_every_problem_is_named_at_once_by_its_variable() -> None:
    said = problems(CHATMESH_ENV="staging", LOG_LEVEL="loud", SERVICE_SECRET="short", WORKERS="many")

    assert [line.partition(":")[0] for line in said] == [
        "CHATMESH_ENV",
        "LOG_LEVEL",
        "SERVICE_SECRET",
        "CURRENCY",
        "WORKERS",
    ]
    assert "CURRENCY: is required" in said


def test_production_refuses_the_defaults_of_development_with_all_other_problems() -> None:
    assert problems(CHATMESH_ENV="production", CURRENCY="DOGE") == (
        "SERVICE_SECRET: must be set in production",
        "DATABASE_URL: must be set in production",
        "CURRENCY: must be EUR or USD",
    )


def test_production_refuses_the_development_secret_even_if_it_is_set() -> None:
    secret = Settings.model_fields["service_secret"].default.get_secret_value()

    assert problems(CHATMESH_ENV="production", CURRENCY="EUR", DATABASE_URL="x", SERVICE_SECRET=secret) == (
        "SERVICE_SECRET: must be set in production",
    )


def test_production_starts_with_values_of_its_own() -> None:
    secret = "a secret of this installation, long enough"
    settings = loaded(CHATMESH_ENV="production", CURRENCY="USD", DATABASE_URL="postgresql://db", SERVICE_SECRET=secret)

    assert settings.production
    assert settings.service_secret.get_secret_value() == secret


def test_an_empty_variable_counts_as_unset() -> None:
    assert problems(CURRENCY="", WORKERS="") == ("CURRENCY: is required",)


def test_no_problem_and_no_representation_shows_a_secret() -> None:
    said = problems(SERVICE_SECRET="hunter2", CURRENCY="EUR")
    settings = loaded(SERVICE_SECRET="hunter2 hunter2 hunter2 hunter2 hunter2", CURRENCY="EUR")

    assert "hunter2" not in f"{said} {settings!r}"


def test_an_address_may_be_the_default_in_production_if_it_was_set_by_hand() -> None:
    default = "postgresql://localhost/shop"
    settings = loaded(CHATMESH_ENV="production", CURRENCY="EUR", SERVICE_SECRET="s" * 32, DATABASE_URL=default)

    assert settings.database_url == default


def test_a_secret_that_everybody_can_read_is_refused_in_production_even_if_it_was_set_by_hand() -> None:
    known = Settings.model_fields["service_secret"].default.get_secret_value()
    said = problems(
        CHATMESH_ENV="production", CURRENCY="EUR", DATABASE_URL="postgresql://db/shop", SERVICE_SECRET=known
    )

    assert said == ("SERVICE_SECRET: must be set in production",)
