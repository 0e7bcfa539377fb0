"""``python -m saga_engine``, and what the command ``saga`` calls."""

import os
import sys
import threading
from importlib import import_module

CTRL_C = 130


def main() -> None:
    """Run the command line of this process and end it with its exit code."""
    try:
        # Inside the try, for somebody may press Ctrl-C while click is being imported.
        code: int = import_module("saga_engine.cli.main").run(sys.argv[1:])
    except KeyboardInterrupt:
        code = CTRL_C
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        # The thread of a step that hangs: nothing ends it but the end of its process, and Python would wait for it.
        # Everything is flushed and closed by now.
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
