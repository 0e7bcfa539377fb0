"""SQLite, as ``dialect.Dialect`` wants it."""

from saga_engine.actions.copy.sqlite.catalog import (
    describe,
    identity,
    is_free,
    missing_types,
    new_text_is_binary,
    resolve,
    tables,
)
from saga_engine.actions.copy.sqlite.fingerprint import fingerprint
from saga_engine.actions.copy.sqlite.functions import register as prepare
from saga_engine.actions.copy.sqlite.look import classes, look
from saga_engine.actions.copy.sqlite.refusals import refusals, rights_to_read, rights_to_replace, unfit, unusable
from saga_engine.actions.copy.sqlite.rows import SqliteRows as rows  # noqa: N813  the protocol's word
from saga_engine.actions.copy.sqlite.staging import create_staging, drop_staging, finish_staging
from saga_engine.actions.copy.sqlite.swap import freeze, prove, swap, to_prove

__all__ = [
    "classes", "create_staging", "describe", "drop_staging", "fingerprint", "finish_staging", "freeze", "identity",
    "is_free", "look", "missing_types", "new_text_is_binary", "prepare", "prove", "refusals", "resolve",
    "rights_to_read", "rights_to_replace", "rows", "swap", "tables", "to_prove", "unfit", "unusable",
]  # fmt: skip
