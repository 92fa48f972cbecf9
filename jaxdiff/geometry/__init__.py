"""Geometry: points of space, moved, laid onto each other, and compared."""
