"""A card's number is never kept, passed on or logged; and what is logged of money has its currency."""

import pytest
from chatmesh.billing.v1 import billing_pb2 as pb
from sqlalchemy import select

from billing_svc.models import Base
from svckit.errors import InvalidArgument
from svckit.postgres import Database
from tests.billing_svc.administrator import Administrator
from tests.billing_svc.customer import Customer
from tests.callers import refusal

_NUMBER = "4242424242424242"
_WRITTEN = ("4242 4242 4242 4242", "my card: 4242-4242-4242-4242.", _NUMBER)


async def test_a_cards_number_is_refused_wherever_somebody_writes_it_and_left_nowhere(
    customer: Customer, administrator: Administrator, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    paid = await customer.pay(1500, description="Order 4242424242424243, and 12 of 1234567890123")
    refused = [await refusal(customer.pay(description=each)) for each in _WRITTEN]
    refused.append(await refusal(customer.pay(payment_method=_NUMBER)))
    refused.append(await refusal(customer.subscribe("pro", payment_method=_NUMBER)))
    refused.append(await refusal(customer.pay(key=_NUMBER)))
    refused.append(await refusal(administrator.refund(paid.id, reason=_WRITTEN[0])))
    await administrator.refund(paid.id, 500)
    logged = capsys.readouterr().out

    assert {type(each) for each in refused} == {InvalidArgument}
    assert [each.violations[0].field for each in refused] == [
        *["description"] * 3,
        *["payment_method"] * 2,
        "idempotency_key",
        "reason",
    ]
    for said in (logged, *await _everything(database), *(each.message for each in refused)):
        assert _NUMBER not in said.replace(" ", "").replace("-", "")
    for amount in ("15.00 USD", "5.00 USD"):
        assert amount in logged


async def _everything(database: Database) -> list[str]:
    """Every row that the service keeps."""
    async with database.transaction() as session:
        return [str(row) for table in Base.metadata.sorted_tables for row in await session.execute(select(table))]


@pytest.mark.parametrize("key", ["ffffffff-ffff-7fff-8424-242424242005", "1764128965001"])
async def test_a_key_whose_digits_happen_to_be_like_a_cards_is_taken(customer: Customer, key: str) -> None:
    assert (await customer.pay(1500, key=key)).status == pb.PAYMENT_STATUS_SUCCEEDED
