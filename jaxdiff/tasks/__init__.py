"""Tasks: what a trained model is used for, one a file; each a function over denoisers or samplers."""
