"""Help for testing sagas: a Step without an engine."""

from saga_engine.testing.step import UnitStep, step

__all__ = ["UnitStep", "step"]
