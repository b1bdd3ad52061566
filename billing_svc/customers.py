"""Users as customers of Stripe's."""

from billing_svc import store
from billing_svc.driver.connection import Driver
from svckit.postgres import Database


async def at_stripe(user_id: str, *, database: Database, driver: Driver) -> str:
    """Stripe's id of a user who has a row; made there when it is asked for first."""
    async with database.transaction() as session:
        row = await store.customer(session, user_id)
    if row.stripe_id:
        return row.stripe_id
    made = await driver.customers.of_user(user_id)
    async with database.transaction() as session:
        await store.keep_stripe_id(session, user_id, made)
    return made
