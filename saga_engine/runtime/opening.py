"""How a store is opened, as the settings say."""

from saga_engine.errors import SchemaNotCurrent
from saga_engine.settings import Settings
from saga_engine.store import migrate
from saga_engine.store.connect import Store, open_store
from saga_engine.store.prepare import prepare, refuse_foreign_file


def opened(settings: Settings, *, create: bool) -> Store:
    """The store, ready to be used: with *create*, made where there is none; an older schema is refused."""
    store = unchecked(settings, create=create)
    try:
        if create:
            prepare(store)
        else:
            _check(store)
    except BaseException:
        store.close()
        raise
    return store


def _check(store: Store) -> None:
    try:
        migrate.check(store)
    except SchemaNotCurrent:
        refuse_foreign_file(store)  # of which no upgrade makes a store
        raise


def unchecked(settings: Settings, *, create: bool) -> Store:
    """The store, whatever its schema is."""
    return open_store(
        settings.store_url().get_secret_value(),
        lease_seconds=settings.limits.lease_seconds,
        group=settings.store_group,
        create=create,
    )
