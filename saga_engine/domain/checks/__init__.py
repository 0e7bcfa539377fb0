"""The rules behind ``saga check``, one file for each question that is asked of a table."""
