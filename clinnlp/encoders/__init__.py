"""All that holds tensors: windows, text and image encoders, heads."""
