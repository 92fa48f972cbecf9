"""What a trained model is used for: arrays in, arrays out."""
