"""``python -m nascore`` is ``nascore``."""

from nascore.cli.main import main

if __name__ == "__main__":
    main()
