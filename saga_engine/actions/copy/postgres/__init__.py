"""PostgreSQL, as ``dialect.Dialect`` wants it."""

from saga_engine.actions.copy.postgres.catalog import (
    describe,
    identity,
    is_free,
    missing_types,
    new_text_is_binary,
    resolve,
    tables,
)
from saga_engine.actions.copy.postgres.fingerprint import fingerprint
from saga_engine.actions.copy.postgres.look import classes, look
from saga_engine.actions.copy.postgres.references import prove, to_prove
from saga_engine.actions.copy.postgres.refusals import refusals, rights_to_read, rights_to_replace, unfit, unusable
from saga_engine.actions.copy.postgres.rows import PostgresRows as rows  # noqa: N813  the protocol's word
from saga_engine.actions.copy.postgres.sql import prepare
from saga_engine.actions.copy.postgres.staging import create_staging, drop_staging, finish_staging
from saga_engine.actions.copy.postgres.swap import freeze, swap

__all__ = [
    "classes", "create_staging", "describe", "drop_staging", "fingerprint", "finish_staging", "freeze", "identity",
    "is_free", "look", "missing_types", "new_text_is_binary", "prepare", "prove", "refusals", "resolve",
    "rights_to_read", "rights_to_replace", "rows", "swap", "tables", "to_prove", "unfit", "unusable",
]  # fmt: skip
