"""Other people's weights and folders, both ways: safetensors by tables of names, and schedulers' configurations."""
