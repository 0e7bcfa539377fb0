"""The moment at which these tests look at a run."""

from datetime import UTC, datetime

NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
