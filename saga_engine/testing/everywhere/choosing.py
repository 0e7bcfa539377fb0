"""Which hits of a run are tried, where it has more than may be: the ends of each step before a second statement."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from itertools import chain, zip_longest
from random import Random
from typing import Final

from saga_engine.testing.kills import hits
from saga_engine.testing.kills.hits import Hit

ACTIONS: Final = "runtime.action."
"""Failpoints at the two ends of each attempt."""
BEGINS: Final = "runtime.action.before"
OF_USER: Final = (ACTIONS, "user.", "ledger.part.", "ledger.undo.part.")
"""Failpoints around the user's own code: a part of every sample is of them."""
COMMITS: Final = ("ledger.*.before_commit", "ledger.*.after_commit")


def chosen(found: Sequence[Hit], most: int, chance: Random) -> list[Hit]:
    """Up to *most* of the hits of a run, which are given in its order.

    A step that does a thousand statements shall not use up what the steps behind it need. So first come the two ends
    of every attempt, then one hit of each failpoint around the user's code in each attempt, then every commit of the
    ledgers; what is left goes to the user's code and to the engine in turn. A kind of which there are too many is
    sampled over the whole run.
    """
    taken: dict[Hit, None] = {}

    def take(some: Iterable[Hit]) -> None:
        fresh = [hit for hit in some if hit not in taken]
        left = most - len(taken)
        if len(fresh) > left:
            picked = set(chance.sample(fresh, max(left, 0)))
            fresh = [hit for hit in fresh if hit in picked]
        taken.update(dict.fromkeys(fresh))

    take(hit for hit in found if hit.name.startswith(ACTIONS))
    take(_one_of_each(found, chance))
    take(hit for hit in found if _fits(hit, COMMITS))
    rest = _in_turn([hit for hit in found if hit not in taken], chance)
    return [*taken, *rest[: most - len(taken)]]


def _one_of_each(found: Sequence[Hit], chance: Random) -> list[Hit]:
    """One hit of each of the user's failpoints in each attempt, attempt by attempt."""
    attempt = 0
    groups: dict[tuple[int, str], list[Hit]] = {}
    for hit in found:
        attempt += hit.name == BEGINS
        if hit.name.startswith(OF_USER):
            groups.setdefault((attempt, hit.name), []).append(hit)
    return [chance.choice(group) for group in groups.values()]


def _in_turn(rest: Sequence[Hit], chance: Random) -> list[Hit]:
    """One of the user's, one of the engine's, and so on; of the engine's those first that cover its failpoints."""
    of_user = [hit for hit in rest if hit.name.startswith(OF_USER)]
    of_engine = [hit for hit in rest if not hit.name.startswith(OF_USER)]
    pairs = zip_longest(chance.sample(of_user, len(of_user)), hits.singles(of_engine, chance))
    return [hit for hit in chain.from_iterable(pairs) if hit is not None]


def _fits(hit: Hit, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(hit.name, pattern) for pattern in patterns)
