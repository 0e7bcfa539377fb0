"""What this process is. A fork server loads workflows, and must come by no connection and no worker while it does."""

from saga_engine.errors import DefinitionError

_loading = False


def now_loading(*, value: bool) -> None:
    """From now on this process loads sagas for its children, or no longer does."""
    global _loading  # noqa: PLW0603  a fact about the process
    _loading = value


def refuse_engine() -> None:
    """Called by every engine that is made."""
    if _loading:
        raise DefinitionError(
            "this file makes an Engine while it is imported; a process that isolates steps imports it too: put what "
            'a program does below `if __name__ == "__main__":`'
        )
