"""Train a diffusion model, or go on with one: `python train.py --config=configs/ddpm.py`. See `jaxdiff.cli.train`."""

import sys

from jaxdiff.cli.train import main

if __name__ == "__main__":
    sys.exit(main())
