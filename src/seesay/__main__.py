"""`python -m seesay` is the same as `seesay`."""

import sys

from seesay.cli import main

if __name__ == "__main__":
    sys.exit(main())
