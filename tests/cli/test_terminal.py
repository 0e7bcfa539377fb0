"""What a person at a terminal sees and is asked: on a real pseudo-terminal."""

from __future__ import annotations

from tests.cli.place import ANSI, Place


def test_approve_shows_what_waits_and_asks_for_the_name_of_the_saga(saga: Place) -> None:
    name = saga.started("grams=750", to="Ann")
    digest = saga.digest(name)
    with saga.terminal("approve", name, "--reason", "ok") as terminal:
        terminal.until("Type the saga's name to approve (parcel): ")
        shown = terminal.seen
        terminal.type("parcel")
        assert terminal.end() == 0
    assert f"{name} waits in ASKING since " in shown
    for part in ("for 1 of sender, 0 given", "grams   750", "to      Ann", "approved it goes to SHIPPING"):
        assert part in shown, shown
    assert f"digest {digest[:12]}, expires " in shown
    assert f"{name}: approved, ASKING → SHIPPING" in terminal.seen


TABLES = """
from enum import Enum, auto
from pydantic import RootModel
from saga_engine import Approval, Frozen, Saga, Step, hours, minutes

class S(Enum):
    COUNTING = auto()
    ASKING = auto()
    DONE = auto()
    STOPPED = auto()

class Counted(RootModel[dict[str, object]]): ...

def count(step: Step[Frozen]) -> Counted:
    names = [f"harmless_{number}" for number in range(30)]
    odd = "x\\x1b[2J\\n  approved it goes to NOWHERE"
    return Counted({odd: 1, "dropped": [*names, "customers"], "k" * 200: "seen"})

saga = Saga("tables", version=1, states=S, input=Frozen, start=S.COUNTING)
saga.at(S.COUNTING).run(count, timeout=minutes(1)).reads_only().then(S.ASKING)
may = Approval("sender", shows=count, expires=hours(2))
saga.at(S.ASKING).approval(may).then(approved=S.DONE, rejected=S.STOPPED, expired=S.STOPPED)
saga.final(S.DONE, S.STOPPED)
"""


def test_approve_shows_all_that_is_approved_and_obeys_none_of_it(saga: Place) -> None:
    (saga.folder / "workflows" / "tables.py").write_text(TABLES)
    assert saga("run", "tables", "--work", "-q").code == 8
    with saga.terminal("approve", "@last") as terminal:
        terminal.until("Type the saga's name to approve (tables): ")
        assert terminal.interrupt() == 130
    shown = ANSI.sub("", terminal.seen)
    assert "customers" in "".join(shown.split())
    assert ("k" * 30 in shown, "seen" in shown, "…" in shown) == (True, True, False)
    assert "\n  approved it goes to NOWHERE" not in terminal.seen.replace("\r", "")
    assert "\x1b[2J" not in terminal.seen
    assert "\\x1b[2J" in terminal.seen


def test_another_word_approves_nothing(saga: Place) -> None:
    name = saga.started(to="Ann")
    with saga.terminal("approve", name) as terminal:
        terminal.until("Type the saga's name to approve (parcel): ")
        terminal.type("yes")
        assert terminal.end() == 2
    assert "error: yes is not the saga's name; nothing was decided" in terminal.seen
    with saga.terminal("reject", name) as terminal:
        terminal.until("Type the saga's name to reject (parcel): ")
        assert terminal.interrupt() == 130
    assert "Traceback" not in terminal.seen
    assert saga("show", name, "--json").json["item"]["state"] == "ASKING"


def test_a_cancel_is_asked_for(saga: Place) -> None:
    name = saga.started(to="Ann")
    with saga.terminal("cancel", name) as terminal:
        terminal.until(f"Cancel {name} and undo what was done? [y/N]: ")
        terminal.type("n")
        assert terminal.end() == 2
    assert saga("show", name, "--json").json["item"]["state"] == "ASKING"
    with saga.terminal("reconcile", "@last") as terminal:
        terminal.until(f"Go on from what the ledgers know, in {name}? [y/N]: ")
        terminal.type("n")
        assert terminal.end() == 2
    with saga.terminal("cancel", "@last") as terminal:
        terminal.until(f"Cancel {name} and undo what was done? [y/N]: ")
        terminal.type("y")
        assert terminal.end() == 0
    assert saga("show", name, "--json").json["item"]["state"] == "ROLLING_BACK"


def test_a_terminal_has_colours_unless_they_are_not_wanted(saga: Place) -> None:
    saga.started(to="Ann")
    with saga.terminal("list") as coloured:
        assert coloured.end() == 0
    with saga.terminal("--color", "never", "list") as plain:
        assert plain.end() == 0
    saga.environment["NO_COLOR"] = "1"
    with saga.terminal("list") as no_color:
        assert no_color.end() == 0
    assert (ANSI.search(coloured.raw) is None, ANSI.findall(plain.raw), ANSI.findall(no_color.raw)) == (False, [], [])
    assert "waiting" in coloured.seen
    assert ANSI.search(saga("--color", "always", "list").out) is not None


def test_a_wide_list_is_wider_than_the_terminal(saga: Place) -> None:
    name = saga.started(to="Ann")
    item = saga("show", name, "--json").json["item"]
    with saga.terminal("list", "-o", "wide") as terminal:
        assert terminal.end() == 0
    (line,) = terminal.seen.splitlines()[1:]
    assert (line.startswith(name), item["id"] in line, len(line) > 100) == (True, True, True)


def test_a_run_is_watched_with_its_progress_to_where_it_asks(saga: Place) -> None:
    with saga.terminal("run", "parcel", "--input", "to=Ann", "--input", "slow=3", "--work", "--watch") as terminal:
        terminal.until("/4 sheets")
        terminal.until("ASKING ●")
        assert terminal.end() == 8
    assert "█" in terminal.seen
    assert "Can undo" in terminal.seen
    assert "hint:  saga why parcel-" in terminal.seen


def test_a_wait_shows_one_line_that_goes_away(saga: Place) -> None:
    with saga.terminal("run", "parcel", "--input", "to=Ann", "--input", "slow=2", "--work") as terminal:
        terminal.until("PACKING, running")
        assert terminal.end() == 8
    assert terminal.seen.rstrip().splitlines()[-2].endswith(": ASKING, waiting, waits for approval by sender (0/1)")


def test_show_is_watched_until_the_run_has_ended(saga: Place) -> None:
    name = saga.started(to="Ann")
    with saga.terminal("show", name, "--watch") as terminal:
        terminal.until("ASKING ●")
        assert saga("reject", name, "--shown", saga.digest(name)).code == 0
        saga.work()
        terminal.until("RETURNED ■")
        assert terminal.end() == 0


def test_status_is_watched_until_ctrl_c(saga: Place) -> None:
    saga.started(to="Ann")
    with saga.terminal("status", "--watch") as terminal:
        terminal.until("needs a person now")
        assert terminal.interrupt() == 130
    assert "Traceback" not in terminal.seen


def test_a_narrow_terminal_folds_lines_and_hides_nothing(saga: Place) -> None:
    name = saga.started(to="Ann")
    saga.environment["COLUMNS"] = "40"
    for command, words in {
        ("approvals",): ["RUN", "STATE", "ASKS", "HAVE", "EXPIRES", "LEADS TO", "SHOWS", name, "sender", "0 of 1"],
        ("list",): ["RUN", "STATE", "STATUS", "STARTED", "WAITS FOR", name, "approval by sender (0/1)"],
        ("show", name): ["PACKING ✓", "waits for approval by sender (0/1)"],
    }.items():
        with saga.terminal(*command) as terminal:
            assert terminal.end() == 0
        assert [word for word in words if word not in terminal.seen] == [], terminal.seen
