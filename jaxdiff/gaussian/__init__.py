"""Gaussian diffusion in JAX alone: processes, parameterizations, denoisers and grids of times."""
