"""What every table is written with: one metadata, times with a zone, names compared byte by byte."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import TEXT, TIMESTAMP

# Ids and what begins with one: compared byte by byte on both databases, so that a prefix is a range whatever language
# PostgreSQL was set up for.
Name = sa.Text().with_variant(TEXT(collation="C"), "postgresql")


class Moment(sa.TypeDecorator[datetime]):
    """A time with zone UTC: timestamptz on PostgreSQL, sortable text on SQLite."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """timestamptz where there is one."""
        return dialect.type_descriptor(TIMESTAMP(timezone=True) if dialect.name == "postgresql" else sa.DateTime())

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """SQLite keeps no zone: UTC is understood."""
        if value is None or dialect.name == "postgresql":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002  SQLAlchemy's signature
        """Always aware, always UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# What rows of a run know it by, where there are many: a quarter of its id, and less. In SQLite it is the rowid.
Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def run() -> sa.Column[str]:
    """The run that a row belongs to."""
    return sa.Column("run_id", sa.ForeignKey("saga_runs.id"), nullable=False)


def numbered() -> sa.Column[int]:
    """The number of the run that the row belongs to."""
    return sa.Column("run", sa.ForeignKey("saga_runs.number"), nullable=False)


def one_of(column: str, *values: str) -> sa.CheckConstraint:
    """The column holds one of *values*, or nothing where it may."""
    return sa.CheckConstraint(among(column, *values), name=column)


def among(column: str, *values: str) -> str:
    """A condition that is true of each of *values*.

    No IN: SQLite would build a table of the list for every row that it checks, a quarter of the time of a write.
    """
    return " OR ".join(f"{column} = '{value}'" for value in values)
