"""`python -m pillarbox`: the command line for whoever has no `pillarbox` on the path."""

import sys

from pillarbox.ops.cli import main

if __name__ == "__main__":
    sys.exit(main())
