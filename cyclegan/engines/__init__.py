"""Run generators as fast as possible, and outside PyTorch."""
