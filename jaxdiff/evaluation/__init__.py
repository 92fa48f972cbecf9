"""Evaluation: how far a set of samples is from a set of data."""
