"""Say which account changed."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.execute("""
        CREATE FUNCTION auth.say_user_changed() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_notify('auth_users', OLD.id::text);
            RETURN NULL;
        END $$
    """)
    op.execute("""
        CREATE TRIGGER say_changed AFTER UPDATE OR DELETE ON auth.users
        FOR EACH ROW EXECUTE FUNCTION auth.say_user_changed()
    """)
