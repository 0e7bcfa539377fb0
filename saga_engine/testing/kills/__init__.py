"""Kill enumeration: a process is killed at each failpoint of a run, another one goes on, and the end is compared."""
