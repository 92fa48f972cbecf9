"""Kinds of data, one folder each: sources, previews, measures."""
