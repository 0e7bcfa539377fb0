"""A first saga: prepare a greeting, ask somebody, publish it; undo what was done where the answer is no.

    saga run hello --input name=World --work
    saga approve @last
    saga worker --until-idle

Change it: `saga check` says what is wrong, `saga graph hello` draws it.
"""

from enum import Enum, auto
from pathlib import Path

from saga_engine import Approval, Frozen, Outcome, Retry, Saga, Step, hours, minutes


class S(Enum):
    """Where a run can be."""

    PREPARING = auto()
    ASKING = auto()
    PUBLISHING = auto()
    ROLLING_BACK = auto()
    PUBLISHED = auto()
    ROLLED_BACK = auto()


class Input(Frozen):
    """What a run is started with: checked at the start, stored once."""

    name: str
    folder: str = "greetings"


class Draft(Frozen):
    """What came of preparing; the approvers see it."""

    file: str
    text: str


def prepare(step: Step[Input]) -> Draft:
    """Write the draft. A step may run again after a crash, so it writes the same file again."""
    file = Path(step.input.folder) / f"{step.input.name}.draft"
    file.parent.mkdir(parents=True, exist_ok=True)
    text = f"Hello, {step.input.name}!\n"
    file.write_text(text)
    return Draft(file=str(file), text=text)


def remove_draft(step: Step[Input], was: Outcome[Draft]) -> None:  # noqa: ARG001  the same, done or in doubt
    """Undo `prepare`. Whether it had written the file or nobody knows: afterwards there is none."""
    (Path(step.input.folder) / f"{step.input.name}.draft").unlink(missing_ok=True)


def publish(step: Step[Input]) -> None:
    """Make the draft the greeting. If an earlier attempt has done so, there is nothing left to do."""
    draft = Path(step.of(prepare).file)
    if draft.exists():
        draft.rename(draft.with_suffix(".txt"))


may_go = Approval("dba", shows=prepare, expires=hours(24))

saga = Saga("hello", version=1, states=S, input=Input, start=S.PREPARING)

saga.at(S.PREPARING).run(prepare, retry=Retry(3), timeout=minutes(1)).undo(remove_draft).then(
    S.ASKING, failed=S.ROLLING_BACK
)
saga.at(S.ASKING).approval(may_go).then(approved=S.PUBLISHING, rejected=S.ROLLING_BACK, expired=S.ROLLING_BACK)
saga.at(S.PUBLISHING).run(publish, retry=Retry(3), timeout=minutes(1)).pivot().then(S.PUBLISHED)
saga.rolls_back(S.ROLLING_BACK).to(S.ROLLED_BACK)
saga.final(S.PUBLISHED, S.ROLLED_BACK)
