"""Draw from a trained model: `python sample.py --workdir runs/`. See `jaxdiff.cli.sample`, or `--help`."""

import sys

from jaxdiff.cli.sample import main

if __name__ == "__main__":
    sys.exit(main())
