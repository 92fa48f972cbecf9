"""`python -m jaxdiff`: the command `jaxdiff`."""

import sys

from jaxdiff.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
