"""Who may ask, and for what."""

import pytest
from chatmesh.analytics.v1 import analytics_pb2 as pb

from svckit.errors import InvalidArgument, PermissionDenied, Unauthenticated
from svckit.identity import Role
from svckit.ids import new_id
from tests.analytics_svc.analyst import Analytics
from tests.callers import refusal, signed_in

REQUEST = pb.GetSignupsRequest()


async def test_nobody_is_refused(analytics: Analytics) -> None:
    error = await refusal(analytics.stub.GetSignups(REQUEST))

    assert isinstance(error, Unauthenticated)


async def test_a_user_is_refused(analytics: Analytics) -> None:
    error = await refusal(analytics.stub.GetSignups(REQUEST, metadata=signed_in(new_id())))

    assert isinstance(error, PermissionDenied)
    assert error.reason == "ROLE_TOO_LOW"


@pytest.mark.parametrize("role", [Role.ANALYST, Role.ADMIN])
async def test_analysts_and_administrators_are_served(analytics: Analytics, role: Role) -> None:
    response = await analytics.stub.GetSignups(REQUEST, metadata=signed_in(new_id(), role=role))

    assert len(response.data) == 30


async def test_an_unknown_zone_is_named(analytics: Analytics) -> None:
    error = await refusal(analytics.signups(timezone="Mars/Olympus"))

    assert isinstance(error, InvalidArgument)
    assert [violation.field for violation in error.violations] == ["timezone"]


async def test_too_many_buckets_are_refused_with_their_reason(analytics: Analytics) -> None:
    error = await refusal(analytics.chat(start_date="2025-01-01", end_date="2025-12-31", interval="hour"))

    assert isinstance(error, InvalidArgument)
    assert error.reason == "RANGE_TOO_LARGE"


async def test_an_unknown_interval_is_refused(analytics: Analytics) -> None:
    error = await refusal(analytics.active(interval="fortnight"))

    assert isinstance(error, InvalidArgument)
    assert [violation.field for violation in error.violations] == ["interval"]


@pytest.mark.parametrize("as_of", ["yesterday", "2025-01-01", "2025-01-01T00:00:00"])
async def test_the_overview_wants_an_instant(analytics: Analytics, as_of: str) -> None:
    error = await refusal(analytics.overview(as_of=as_of))

    assert isinstance(error, InvalidArgument)
    assert [violation.field for violation in error.violations] == ["as_of"]


async def test_a_plan_is_a_value_and_no_sql(analytics: Analytics) -> None:
    response = await analytics.chat(plan="' OR 1=1 --\\")

    assert not any(row.messages for row in response.data)
