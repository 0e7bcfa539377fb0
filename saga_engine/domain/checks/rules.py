"""Every rule by its code. Tests run each example: the bad one breaks its rule, the good one breaks none."""

from collections.abc import Mapping

from saga_engine.domain.checks.finding import Rule
from saga_engine.domain.checks.rules_limits import LIMITS
from saga_engine.domain.checks.rules_safety import SAFETY
from saga_engine.domain.checks.rules_shape import SHAPE

RULES: Mapping[str, Rule] = {rule.code: rule for rule in sorted((*SHAPE, *SAFETY, *LIMITS), key=lambda rule: rule.code)}
