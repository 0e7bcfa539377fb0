"""``python -m saga_engine``, and what the command ``saga`` calls."""

import sys
from importlib import import_module

CTRL_C = 130


def main() -> None:
    """Run the command line of this process and end it with its exit code."""
    try:
        # Inside the try, for somebody may press Ctrl-C while click is being imported.
        program = import_module("saga_engine.cli.main")
        code: int = program.run(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(CTRL_C)
    program.end(code)


if __name__ == "__main__":
    main()
