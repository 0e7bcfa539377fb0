"""``saga check``: the rules of the domain over the user's files, and what only files and the store can tell."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from saga_engine import errors
from saga_engine.domain import check as rules
from saga_engine.domain.chart import Chart
from saga_engine.domain.checks.rules import RULES
from saga_engine.domain.definition.saga import Saga
from saga_engine.domain.graph import Graph
from saga_engine.domain.whys.reason import counted
from saga_engine.runtime.opening import opened
from saga_engine.runtime.registry import Registry, modules, sagas_of
from saga_engine.runtime.views import CheckedView, FoundView
from saga_engine.settings import Settings
from saga_engine.store import inspect

LOAD: Final = "SG000"
STORE: Final = "SG060"

MORE: Final = {
    LOAD: (
        "a file that cannot be loaded, or a saga that the engine refuses",
        """\
Python could not import the file, or the engine cannot run a saga in it as it is written. Workers leave the file
out, so its runs stand still (W10). The message names the error and the line.""",
    ),
    STORE: (
        "live runs that go by another definition",
        """\
A run is pinned to the name, version and digest of the definition it was started with. States, edges, times, undo
presence and result schemas are in the digest; the source of functions is not. A changed table needs a higher
version; the old one stays loaded until its last run has ended.""",
    ),
}
"""Title and text of the rules that the domain cannot know: about files, and about the store."""


def check(paths: Iterable[Path], roles: Mapping[str, Sequence[str]]) -> tuple[CheckedView, Registry]:
    """Look at every saga in files and folders; *roles* are those of the settings. Gives the sagas too."""
    found: list[FoundView] = []
    seen: list[Saga[Any, Any]] = []
    registry = Registry()
    for path in paths:
        for file, module in modules(path):
            if isinstance(module, str):
                found.append(_unloadable("", "", str(file), module))
                continue
            seen += sagas_of(module)
            found += _in_module(registry, file, module, roles)
    graphs = [Graph(saga) for saga in seen]
    view = CheckedView(
        found=tuple(found),
        sagas=len(seen),
        states=sum(len(graph.names) for graph in graphs),
        ways=sum(len(ways) for graph in graphs for ways in graph.ways.values()),
    )
    return view, registry


def against_store(settings: Settings, checked: Registry) -> list[FoundView]:
    """Live runs whose definition is not among those that were *checked* (SG060).

    Not those of the settings: what is checked may be what will be put there next.
    """
    with closing(opened(settings, create=False)) as store, store.read() as db:
        pinned = inspect.pinned(db)
    loaded = {(chart.name, chart.version): chart for chart in checked}
    charts = [(row, loaded.get((row.saga, row.version))) for row in pinned]
    return [_pinned(row, chart) for row, chart in charts if chart is None or chart.digest != row.digest]


def explain(code: str) -> str:
    """The long text of a rule; ``RuleNotFound`` for a code that no rule has."""
    if code.upper() not in titles():
        raise errors.RuleNotFound(rule=code, rules=", ".join(titles()))
    if code.upper() in MORE:
        title, text = MORE[code.upper()]
        return f"{code.upper()}  {title}\n\n{text}\n"
    return rules.explain(code)


def titles() -> dict[str, str]:
    """Every rule with its title, in order."""
    known = {code: rule.title for code, rule in RULES.items()} | {code: title for code, (title, _) in MORE.items()}
    return dict(sorted(known.items()))


def _in_module(
    registry: Registry, file: Path, module: ModuleType, roles: Mapping[str, Sequence[str]]
) -> Iterator[FoundView]:
    """What the rules find, and what the engine refuses beyond that."""
    wrong: set[str] = set()
    for finding in rules.check_module(vars(module), roles):
        wrong |= {finding.saga} if finding.severity == "error" else set()
        yield FoundView.model_validate(asdict(finding))
    for saga in sagas_of(module):
        try:
            registry.add(saga)
        except errors.DefinitionError as error:
            if saga.name not in wrong:
                start = saga.rows.get(saga.start)
                yield _unloadable(saga.name, saga.start.name, start.where if start else str(file), str(error))


def _pinned(row: Any, chart: Chart | None) -> FoundView:  # noqa: ANN401  a row of inspect.pinned
    """Not here at all, or another one under the same version, which is worse: it looks as if it were the same."""
    told = f"{counted(row.runs, 'live run')} of {row.saga} v{row.version} cannot go on"
    if chart is None:
        text, help_ = f"{told}: its definition is not here", "keep it loaded until its last run has ended"
    else:
        text = f"{told} with this definition: another one had the same version"
        help_ = "raise the version, and keep the old definition loaded until its last run has ended"
    return FoundView(
        code=STORE,
        severity="warning" if chart is None else "error",
        saga=row.saga,
        state=chart.start if chart else "",
        where=chart.rows[chart.start].where if chart else "",
        text=text,
        help=help_,
    )


def _unloadable(saga: str, state: str, where: str, text: str) -> FoundView:
    help_ = "mend it: workers leave the file out until then"
    return FoundView(code=LOAD, severity="error", saga=saga, state=state, where=where, text=text, help=help_)
