"""The root of all errors, and those of definitions, steps and attempts."""

from __future__ import annotations

from typing import ClassVar


class SagaError(Exception):
    """{text}"""

    exit_code: ClassVar[int] = 1
    hint: ClassVar[str] = ""

    def __init__(self, text: str = "", **facts: object) -> None:
        self.facts = {"text": text, **facts}
        template = text or (type(self).__doc__ or "")
        super().__init__(text or template.format(**facts))

    @property
    def next_command(self) -> str:
        """The command that helps, with the facts filled in; empty where none is known."""
        return self.hint.format(**self.facts) if self.hint else ""


class DefinitionError(SagaError):
    """{text}"""

    exit_code = 6


class NoResult(SagaError):
    """There is no result of {source} in this run: it never ran on this path, returned nothing, or was undone. Ask `find` where that may be."""


class AttemptEnded(SagaError):
    """This attempt no longer counts: its lease is gone, or the run has moved on."""


class Superseded(BaseException):
    """A newer attempt, or an undo, has taken over in the target database. Not an Exception: user code cannot swallow it."""


class BadResult(SagaError):
    """{step} {problem}. Its annotation says what is stored; mend the step, then `saga retry`."""
