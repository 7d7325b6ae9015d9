"""How a generator runs fastest, and elsewhere than in PyTorch."""
