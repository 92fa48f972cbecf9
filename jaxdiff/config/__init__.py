"""Configurations: the schema, the names in it, and the parts built from it."""
