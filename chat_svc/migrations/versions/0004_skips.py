"""Each message points further up its branch, so that the beginning of a long one is found in few steps."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

SCHEMA = "chat"

# As tree.py does for new ones, from the first messages down.
FILL = """
DO $$ DECLARE m record; BEGIN
  FOR m IN SELECT id, parent_id FROM chat.messages ORDER BY depth LOOP
    IF m.parent_id IS NULL THEN
      UPDATE chat.messages SET skip_id = id, skip_depth = 0 WHERE id = m.id;
    ELSE
      UPDATE chat.messages AS c SET (skip_id, skip_depth) = (
        SELECT CASE WHEN p.depth - s.depth = s.depth - s.skip_depth THEN s.skip_id ELSE p.id END,
               CASE WHEN p.depth - s.depth = s.depth - s.skip_depth THEN s.skip_depth ELSE p.depth END
        FROM chat.messages AS p JOIN chat.messages AS s ON s.id = p.skip_id WHERE p.id = m.parent_id
      ) WHERE c.id = m.id;
    END IF;
  END LOOP;
END $$
"""


def upgrade() -> None:
    op.add_column("messages", sa.Column("skip_id", sa.Uuid()), schema=SCHEMA)
    op.add_column("messages", sa.Column("skip_depth", sa.Integer()), schema=SCHEMA)
    op.execute(FILL)
    op.alter_column("messages", "skip_id", nullable=False, schema=SCHEMA)
    op.alter_column("messages", "skip_depth", nullable=False, schema=SCHEMA)
