"""How like the person photos painted of sketches are, by several face recognition networks.

    python -m benchmarks.likeness photosandsketches/test --face dlib.onnx other.onnx --releases RELEASE ...

Weights that were trained with one network are better judged by another. Faces are cut out as recipes/likeness.py does.
"""

from pathlib import Path

import torch
import tyro
from torch.nn.functional import normalize
from tyro.conf import Positional

from cyclegan import FaceSketchPipeline
from cyclegan.data.sources import find_images
from cyclegan.evaluation.pairs import load_pairs
from cyclegan.images import normalise
from recipes.likeness import Likeness

SIZE = 256  # pixels: the working size of the embedded weights


def measure(data: Positional[Path], face: tuple[Path, ...], releases: tuple[str, ...]) -> None:
    """Print the mean cosine of the descriptors of a person, and how often the right one of all photos is the nearest.

    Args:
        data: a folder with photos and sketches of the same names.
        face: networks in ONNX: faces, (N, 3, S, S) in [-1, 1] -> (N, D).
    """
    files = [(data / "photos" / sketch.name, sketch) for sketch in find_images(data / "sketches")]
    likeness, pairs = Likeness(face), load_pairs(files, SIZE)
    photos, sketches = normalise(pairs.photos), normalise(pairs.sketches)
    pictures = {"the sketches": sketches}
    for release in releases:
        pipe = FaceSketchPipeline.from_pretrained(release, device="cpu", dtype="float32")
        painted = [pipe.translate(pipe.photo_generator, one) for one in sketches.split(1)]
        pictures[release] = torch.cat(painted)
    for name, made in pictures.items():
        with torch.inference_mode():
            for file, (seen, known) in zip(face, likeness.describe(made, photos), strict=True):
                cosines = normalize(seen) @ normalize(known).T
                right = (cosines.argmax(1) == torch.arange(len(cosines))).float().mean()
                print(f"{file.stem:>16}: {cosines.diagonal().mean():.3f}, the nearest {right:.0%}: {name}", flush=True)


if __name__ == "__main__":
    tyro.cli(measure)
