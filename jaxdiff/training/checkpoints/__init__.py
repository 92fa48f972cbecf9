"""Checkpoints: written, verified, restored, and averaged afterwards."""
