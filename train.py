"""Train a diffusion model, or go on with one: `python train.py --config=configs/ddpm.py`. See `jaxdiff.cli.train`."""

import signal
import sys

signal.signal(signal.SIGINT, signal.SIG_DFL)  # while Python reads the libraries, Ctrl-C ends it without a page

from jaxdiff.cli.train import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
