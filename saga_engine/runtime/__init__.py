"""Things that act: the engine (the one door), the worker and what keeps it honest."""
