"""The models as data: what a request may name, what has been retired, and a table that changes while it is used."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import partial
from pathlib import Path

import pytest
from chatmesh.chat.v1 import chat_pb2 as pb
from structlog.testing import capture_logs

from chat_svc import catalogue
from chat_svc.catalogue import Catalogue, Model, Table
from svckit.errors import FailedPrecondition, InvalidArgument
from svckit.settings import SettingsError
from tests.callers import refusal
from tests.chat_svc.conftest import Replica, Start
from tests.chat_svc.user import User
from tests.waiting import until

TABLE = """
version = "1"
[[models]]
id = "old"
provider = "openai"
display_name = "Old"
aliases = ["older"]
context_tokens = 1000
max_output_tokens = 100
input_micros_per_million = 5
price_date = 2026-11-25
price_source = "https://example.com/prices"
fallbacks = ["openai/spare"]
capabilities = ["text"]
plans = ["free"]
deprecation_date = 2030-01-01
successor = "new"
[[models]]
id = "new"
provider = "openai"
display_name = "New"
context_tokens = 1000
max_output_tokens = 100
capabilities = ["text"]
plans = ["pro"]
[[models]]
id = "spare"
provider = "openai"
display_name = "Spare"
context_tokens = 1000
max_output_tokens = 100
capabilities = ["text", "tools"]
plans = ["free", "pro"]
[[retired]]
id = "oldest"
provider = "openai"
since = 2020-01-01
successor = "new"
"""
BEFORE, AFTER = date(2029, 12, 31), date(2030, 1, 1)


def everything(_: Model) -> bool:
    """A plan that leaves nothing out."""
    return True


Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a table of models, as a deployment would."""

    def written(text: str) -> Path:
        path = tmp_path / "models.toml"
        path.write_text(text)
        return path

    return written


def on(day: date, table: Table) -> Catalogue:
    return Catalogue(table, providers=["openai"], today=lambda: day)


async def listed(replica: Replica) -> dict[str, pb.Model]:
    answer = await replica.stub.ListModels(pb.ListModelsRequest(), metadata=User(replica.stub).metadata)
    return {model.id: model for model in answer.models}


def test_a_model_answers_until_the_day_of_its_end_and_then_names_its_successor(write: Write) -> None:
    table = catalogue.read(write(TABLE))

    assert on(BEFORE, table).choose(provider="", model="older", included=everything).id == "old"
    assert [model.id for model in on(AFTER, table).models] == ["new", "spare"]
    with pytest.raises(InvalidArgument) as caught:
        on(AFTER, table).choose(provider="", model="older", included=everything)
    assert (caught.value.reason, caught.value.metadata) == ("MODEL_RETIRED", {"successor": "new"})


def test_the_default_is_a_model_that_is_still_served(write: Write) -> None:
    table = catalogue.read(write(TABLE))

    assert on(BEFORE, table).choose(provider="", model="", included=everything).id == "old"
    assert on(AFTER, table).choose(provider="openai", model="", included=everything).id == "new"
    with pytest.raises(FailedPrecondition):
        Catalogue(table, providers=[]).choose(provider="", model="", included=everything)


def test_what_a_retired_model_has_cost_is_still_known(write: Write) -> None:
    found = on(AFTER, catalogue.read(write(TABLE))).find(provider="openai", model="old")

    assert found is not None
    assert found.input_micros_per_million == 5


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (TABLE.replace('"older"', '"new"'), "named twice"),
        (TABLE.replace('id = "oldest"', 'id = "old"'), "named twice"),
        (TABLE.replace('successor = "new"', 'successor = "newer"'), "newer"),
        (TABLE.replace("= 5", "= -5"), "input_micros_per_million"),
        (TABLE.replace("plans", "plants"), "plants"),
        (TABLE.replace("price_date", "# price_date"), "price_date"),
        (TABLE.replace("openai/spare", "openai/none"), "its fallback openai/none is no other model"),
        (TABLE.replace("openai/spare", "openai/old"), "its fallback openai/old is no other model"),
        (TABLE.replace("openai/spare", "openai/new"), "its fallback openai/new lacks ['free']"),
        (TABLE.replace('["text", "tools"]', '["tools"]'), "its fallback openai/spare lacks ['text']"),
        ("version =", "Invalid value"),
    ],
)
async def test_a_table_that_is_wrong_stops_the_start(start: Start, write: Write, wrong: str, told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        async with start(models_file=write(wrong)):
            pass

    (problem,) = caught.value.problems
    assert problem.startswith("MODELS_FILE: ")
    assert told in problem


async def test_a_table_that_changes_is_read_anew_and_a_wrong_one_is_not_taken(start: Start, write: Write) -> None:
    async with start(models_file=write(TABLE)) as replica:
        with capture_logs() as logs:
            write("nonsense")
            await until(partial(_logged, logs, "the table of models is wrong, the one before stays"))
            while_wrong = await listed(replica)
            write(TABLE.replace('"new"', '"newest"'))
            await until(partial(_logged, logs, "the table of models was read anew"))
        after = await listed(replica)

    assert set(while_wrong) == {"old", "new", "spare"}
    assert set(after) == {"old", "newest", "spare"}


async def _logged(logs: Sequence[Mapping[str, object]], event: str) -> bool:
    return any(entry["event"] == event for entry in logs)


async def test_the_list_says_what_is_set_up_and_what_the_plan_includes(start: Start, write: Write) -> None:
    async with start(models_file=write(TABLE)) as replica:
        with_key = await listed(replica)
    async with start(models_file=write(TABLE), openai_api_key=None) as replica:
        without_key = await listed(replica)

    assert all(model.set_up for model in with_key.values())
    assert [model.id for model in with_key.values() if model.available] == ["old", "spare"]
    assert not any(model.set_up or model.available for model in without_key.values())
    assert (with_key["old"].deprecation_date, with_key["old"].successor) == ("2030-01-01", "new")
    assert with_key["old"].cached_input_micros_per_million == 5


async def test_a_retired_model_of_the_table_names_its_successor(user: User) -> None:
    error = await refusal(user.send(model="gpt-4"))

    assert isinstance(error, InvalidArgument)
    assert (error.reason, error.metadata["successor"]) == ("MODEL_RETIRED", "gpt-6.1-sol")
    assert [violation.field for violation in error.violations] == ["model"]


def test_every_model_of_the_table_leaves_room_for_a_question() -> None:
    models = catalogue.read().models

    assert all(model.max_output_tokens * 2 <= model.context_tokens for model in models)
