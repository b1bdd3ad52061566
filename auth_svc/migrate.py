"""`python -m auth_svc.migrate`: bring the schema up to date, and end; without the service, or before it."""

from auth_svc import models
from svckit import migrating

if __name__ == "__main__":
    migrating.run("auth", schema=models.SCHEMA, scripts=models.MIGRATIONS)
