"""Draw from a trained model: `python sample.py --workdir runs/`. See `--help`."""

import sys

from jaxdiff.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["sample", *sys.argv[1:]]))
