"""Interop: weights and folders of other libraries, in and out."""
