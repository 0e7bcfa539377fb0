"""One file for each step, `NNNN_what_it_does.py` with revision = "NNNN"; a released one is never changed."""
