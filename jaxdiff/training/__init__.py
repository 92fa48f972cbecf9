"""Training: takes a loss function and an optax optimizer, and knows nothing of diffusion."""
