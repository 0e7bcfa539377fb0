"""What can be wrong with the engine's own database."""

from saga_engine.errors.base import SagaError


class StoreError(SagaError):
    """{text}"""

    exit_code = 9


class StoreUnreachable(StoreError):
    """The store {url} cannot be reached: {reason}"""

    hint = "saga doctor"


class SchemaNotCurrent(StoreError):
    """The store's schema is at {found}, this program needs {wanted}."""

    hint = "saga db upgrade"


class LibraryTooOld(StoreError):
    """{text}"""


class StoreBusy(StoreError):
    """The store {url} is busy: {reason}. Nothing was changed; try again, and end what holds it if it stays so."""

    hint = "saga doctor"


class StoreFull(StoreError):
    """No room is left for the store {url}: {reason}. Nothing that was acknowledged is lost; free room, then go on."""

    hint = "saga doctor"


class StoreForbidden(StoreError):
    """The store {url} cannot be written by this user: {reason}. Check the owner, mode and grants."""

    hint = "saga doctor"


class StoreDamaged(StoreError):
    """The store {url} cannot be read: {reason}. Leave it as it is and name another store, or restore a backup."""

    hint = "saga doctor"


class StoreChanged(StoreError):
    """The store {url} has another schema than this program began with: {reason}. Start it again."""

    hint = "saga doctor"


class StoreInUse(StoreError):
    """The store cannot be upgraded under {workers}: {names}. Stop them; one that was killed counts until its lease ends."""


class StoreReplaced(StoreError):
    """The file of the store {url} was removed or replaced while it was open. Nothing was written: start again."""


class OutcomeUnknown(StoreError):
    """The answer to COMMIT never came from {url} ({reason}): the change may be there or not. Look before repeating it."""


class SchemaTooNew(StoreError):
    """The store's schema is at {found}, this program knows up to {wanted}. Install the newer saga-engine that upgraded it."""
