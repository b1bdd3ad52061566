"""What coupons take off a subscription's price again and again, and why it ended."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Replicas of the old code go on inserting rows without these."""
    _widen("discount_minor", sa.BigInteger(), default="0")
    _widen("cancel_reason", sa.Text(), default="")
    _widen("cancel_feedback", sa.Text(), default="")


def _widen(name: str, type_: sa.types.TypeEngine[int] | sa.types.TypeEngine[str], *, default: str) -> None:
    op.add_column("subscriptions", sa.Column(name, type_, nullable=False, server_default=default), schema="billing")
