"""What can be wrong with a worker."""

from saga_engine.errors.base import SagaError


class WorkerGaveUp(SagaError):
    """Half of the worker's slots hang: their threads do not come back, and no thread can be ended. Start a new worker."""

    exit_code = 75
    hint = "saga worker"


class IsolationFailed(SagaError):
    """{saga} asks for a process of its own, and cannot have one: {problem}. Nothing of it has run, and nothing is counted."""


class CleanRunFailed(SagaError):
    """{saga} was not tested: a run that nobody disturbs does not come to its end: {reason}"""

    exit_code = 2
