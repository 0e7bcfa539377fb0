"""What the store knows of sagas and of itself: written once, however many engines begin at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable

import sqlalchemy as sa

from saga_engine.store import definitions
from saga_engine.store.connect import Store, open_store
from saga_engine.store.schema import definitions as table
from tests.domain.sagas import charted
from tests.store import sagas
from tests.store.world import START


def at_once(url: str, work: Callable[[Store], object], times: int = 4) -> list[object]:
    """What *work* returns in so many engines that begin at the same moment."""
    stores = [open_store(url) for _ in range(times)]
    together = threading.Barrier(times)
    found: list[object] = []

    def run(store: Store) -> None:
        together.wait(10)
        found.append(work(store))

    threads = [threading.Thread(target=run, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for store in stores:
        store.close()
    return found


def test_a_definition_has_one_row_whoever_brings_it(made: Store, made_url: str) -> None:
    chart = sagas.chart()

    def register(store: Store) -> int:
        with store.write() as db:
            return definitions.register(db, [chart])[chart.digest]

    found = at_once(made_url, register)
    with made.read() as db:
        rows = db.execute(sa.select(table)).all()
        assert definitions.by_digest(db, "another") is None
        assert definitions.by_digest(db, chart.digest) == rows[0]
    assert [(row.saga, row.version, row.digest, row.spec) for row in rows] == [
        ("everything", 1, chart.digest, chart.spec)
    ]
    assert found == [rows[0].id] * 4


def test_two_definitions_have_two_rows(made: Store) -> None:
    charts = [sagas.chart(), charted(lambda _saga: None)]
    with made.write() as db:
        first = definitions.register(db, charts[:1])
        both = definitions.register(db, charts)
    assert both == {**first, charts[1].digest: both[charts[1].digest]}
    assert len(set(both.values())) == 2


def test_a_store_has_one_name_for_ever(made: Store, made_url: str) -> None:
    def name(store: Store) -> str:
        with store.write() as db:
            return definitions.identity(db, START)

    found = at_once(made_url, name)
    assert len(set(found)) == 1
    assert name(made) == found[0]
