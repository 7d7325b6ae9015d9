"""Face photo <-> sketch translation with CycleGAN."""

from .pipeline import FaceSketchPipeline

__all__ = ["FaceSketchPipeline"]
