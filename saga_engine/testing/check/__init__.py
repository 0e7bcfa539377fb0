"""Checks the promises of the protocol over everything that is stored: see ``check``.

world = World(stories(engine.store, engine.registry, runs), ledgers(targets, engine.door.store_uuid()), told)
assert check(world) == []
"""

from saga_engine.testing.check.checker import RULES, check
from saga_engine.testing.check.read import ledgers, stories
from saga_engine.testing.check.world import Expected, Model, Story, Told, Violation, World

__all__ = ["RULES", "Expected", "Model", "Story", "Told", "Violation", "World", "check", "ledgers", "stories"]
