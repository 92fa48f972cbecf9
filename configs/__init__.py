"""Configurations, a file each: `jaxdiff train --config NAME`, or `python train.py --config=configs/NAME.py`."""
