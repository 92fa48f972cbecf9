"""Command lines: train, sample, and data sets."""
