"""A user's own saga, killed everywhere: does each step keep its promise? Behind ``saga test --kill-everywhere``."""
