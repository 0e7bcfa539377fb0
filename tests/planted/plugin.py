"""A plugin of pytest: plants the bug that SAGA_TEST_PLANTED names before anything of the engine is imported."""

from tests.planted.bugs import BUGS
from tests.planted.planting import asked, plant

if asked():
    plant(BUGS[asked()].edits)
