"""Data: examples by number, in the order of training."""
