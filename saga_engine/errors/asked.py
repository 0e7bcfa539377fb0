"""What a caller did wrong, or does not know: the input, a name, a right, or where the run stands by now."""

from saga_engine.errors.base import SagaError


class BadInput(SagaError):
    """{text}"""

    exit_code = 2


class PayloadRefused(BadInput):
    """{text}"""

    hint = "saga send {run} {event} --data '{takes}'"


class AmbiguousName(BadInput):
    """{run} fits several runs: {several}, …"""

    hint = "saga help runs"


class PayloadTooLarge(BadInput):
    """{what} has {size} bytes; the limit is {limit}. Store the data elsewhere and pass a reference."""


class SettingsError(SagaError):
    """{text}"""

    exit_code = 2


class AnchorUnusable(BadInput):
    """The anchor {file} cannot be used: {reason}. Name the file that `saga verify --write-anchor` has written."""


class NotFound(SagaError):
    """{text}"""

    exit_code = 3


class RuleNotFound(NotFound):
    """no rule is called {rule}; the rules are {rules}"""

    hint = "saga explain"


class RunNotFound(NotFound):
    """No run is called {run}."""

    hint = "saga list"


class SagaNotFound(NotFound):
    """No saga called {saga} is loaded. Loaded: {loaded}."""

    hint = "saga check"


class NotShipped(NotFound):
    """No saga called {saga} is shipped."""

    hint = "saga init --from NAME, with one of {loaded}"


class WorkflowsMissing(NotFound):
    """There is no {path}, where the sagas should be."""

    hint = "saga init"


class NoSagas(NotFound):
    """There is no saga in {path}: a worker would run nothing."""

    hint = "saga init"


class NotLoaded(NotFound):
    """{saga} v{version} ({digest}) is not loaded here, so nothing can be decided for its runs. Files that failed: {broken}."""

    hint = "saga check"


class StateNotFound(NotFound):
    """{saga} has no state {state}. It has {states}."""

    hint = "saga graph {saga}"


class EventNotFound(NotFound):
    """{saga} knows no event {event}. It knows {events}."""

    hint = "saga graph {saga}"


class NotAllowed(SagaError):
    """{text}"""

    exit_code = 4


class NotInRole(NotAllowed):
    """{actor} is not in role {role}, which has {members}."""


class Conflict(SagaError):
    """{text}"""

    exit_code = 7


class AlreadyDecided(Conflict):
    """{run} was already {verdict} by {actor} at {at}: {reason}"""

    hint = "saga show {run}"


class NotAccepted(Conflict):
    """{run} is in {state}, which does not take the event {event}. Here it takes: {takes}."""

    hint = "saga why {run}"


class RunEnded(Conflict):
    """{run} has ended: {status} in {state}."""

    hint = "saga history {run}"


class KeyTaken(Conflict):
    """The run key {key} belongs to {run}, which was started with another {difference}. Use another key."""

    hint = "saga show {run}"


class KeyPruned(Conflict):
    """The run key {key} belonged to {run}, which has ended ({status}) and was pruned. A key is spent for ever: use another one."""
