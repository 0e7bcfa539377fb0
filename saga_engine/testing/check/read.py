"""Loads what the checker looks at, from a store and from targets."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from saga_engine.ledger import evidence as ledger_evidence
from saga_engine.ledger.evidence import Books
from saga_engine.runtime.registry import Registry
from saga_engine.store import evidence as store_evidence
from saga_engine.store.connect import Store
from saga_engine.testing.check.world import Story

if TYPE_CHECKING:
    from sqlalchemy import Engine


def stories(store: Store, registry: Registry, runs: Collection[str]) -> dict[str, Story]:
    """The stories of these runs; one that the store does not know is left out. Their sagas must be loaded."""
    found = {}
    for run in runs:
        with store.read() as db:
            evidence = store_evidence.of(db, run)
        if evidence is not None:
            chart = registry.by_digest(evidence.run.digest)
            assert chart is not None, f"load {evidence.run.saga} v{evidence.run.version}: run {run} is pinned to it"
            found[run] = Story(evidence, chart)
    return found


def ledgers(targets: Mapping[str, Engine], store_uuid: str) -> dict[str, Books]:
    """What the ledger of each target holds for this store, by the name of the connection."""
    return {name: ledger_evidence.of(engine, store_uuid) for name, engine in targets.items()}
