"""`python -m chat_svc.migrate`: bring the schema up to date, and end; without the service, or before it."""

from chat_svc import models
from svckit import migrating

if __name__ == "__main__":
    migrating.run("chat", schema=models.SCHEMA, scripts=models.MIGRATIONS)
