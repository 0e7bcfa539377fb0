"""The reasons behind ``saga why``, one file for each kind of thing that a run can wait for."""
