"""``python -m nascore`` is ``nascore``."""

import sys

from nascore.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
