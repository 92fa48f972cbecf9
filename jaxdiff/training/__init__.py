"""Training: takes a loss function and an optax optimiser, and knows nothing of diffusion."""
