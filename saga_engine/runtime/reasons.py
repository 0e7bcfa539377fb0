"""TEMP."""

from saga_engine.domain.snapshot import Snapshot


def waits_for(chart, run: Snapshot, now) -> str:
    return ""


def why_of(*a):
    raise NotImplementedError
