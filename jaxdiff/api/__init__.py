"""The library from Python: train on what is in memory, a step for a loop of one's own, and pictures."""
