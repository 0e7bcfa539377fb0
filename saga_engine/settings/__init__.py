"""What a person may set: read once from flags, environment and files; secrets stay references until they are used."""

from saga_engine.settings.here import actor, shipped_workflows, system_user
from saga_engine.settings.read import load
from saga_engine.settings.secret import is_url, redact, redact_value, resolve
from saga_engine.settings.values import Exports, Limits, Settings

__all__ = [
    "Exports",
    "Limits",
    "Settings",
    "actor",
    "is_url",
    "load",
    "redact",
    "redact_value",
    "resolve",
    "shipped_workflows",
    "system_user",
]
