"""How a store is opened, as the settings say."""

from saga_engine.settings import Settings
from saga_engine.store import migrate
from saga_engine.store.connect import Store, open_store
from saga_engine.store.prepare import prepare


def opened(settings: Settings, *, create: bool) -> Store:
    """The store, ready to be used: with *create*, made where there is none; an older schema is refused."""
    store = unchecked(settings, create=create)
    try:
        if create:
            prepare(store)
        else:
            migrate.check(store)
    except BaseException:
        store.close()
        raise
    return store


def unchecked(settings: Settings, *, create: bool) -> Store:
    """The store, whatever its schema is."""
    return open_store(
        settings.store_url().get_secret_value(),
        lease_seconds=settings.limits.lease_seconds,
        group=settings.store_group,
        create=create,
    )
