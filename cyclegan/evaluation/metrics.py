"""Measure a model on pairs of test pictures.

This protocol makes two figures comparable (docs/evaluation.md says why):

- Two files are a pair if their names match. Every picture is cropped to its largest centred square.
- The input is resized to the model's working size. The result and the target are resized to 128 x 128 (`SIZE`) and
  compared there. Every resize is bicubic with antialiasing; equal sizes are left alone.
- SSIM, PSNR, FSIM and the correlation use the luminance (ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B) in [0, 1], with a
  data range of 1.
- The cycle stays in tensors at the working size and is never rounded to 8 bits on its way. The reconstruction is
  compared in colour, in [-1, 1].
- LPIPS, FID and KID use the colours at the compared size.
- A figure is the mean over the pictures. FID and KID are computed over all pictures together.

piq computes SSIM, PSNR and FSIM. torchmetrics computes LPIPS, FID and KID and downloads their networks.
"""

import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.sources import DataError
from ..directions import Direction
from ..extras import extra, install
from ..images import ImageError, crop_square, normalise, open_image, to_tensor
from ..pipeline import BATCH, FaceSketchPipeline

SIZE = 128  # pixels: the side at which pictures are compared
KID_SUBSETS, KID_SUBSET_SIZE = 100, 50
PROTOCOL = __doc__ or ""


@dataclass(frozen=True)
class Pairs:
    """Paired pictures in the same order, (N, 3, S, S) uint8 each, their names, and why other pairs were left out."""

    photos: Tensor
    sketches: Tensor
    names: list[str]
    skipped: list[str]


@dataclass(frozen=True)
class Comparison:
    """One batch in one direction: pictures (B, 3, S, S) in [-1, 1] and the figures of each picture, (B,).

    `pictures` are input, result, target and reconstruction at the working size, to look at. `compared` are input,
    result and target at the compared size.
    """

    direction: Direction
    pictures: tuple[Tensor, Tensor, Tensor, Tensor]
    compared: tuple[Tensor, Tensor, Tensor]
    figures: dict[str, Tensor]


def load_pairs(files: list[tuple[Path, Path]], size: int) -> Pairs:
    """Decode pairs into pictures of `size` x `size`. A pair with an unreadable picture is named and left out.

    Args:
        size: the working size or the compared size, whichever is larger.

    Raises:
        DataError: no pair can be read.
    """

    def decode(pair: tuple[Path, Path]) -> tuple[Tensor, Tensor] | str:
        try:
            photo, sketch = (to_tensor(crop_square(open_image(file), size)) for file in pair)
        except ImageError as error:
            return str(error)
        return photo, sketch

    with ThreadPoolExecutor() as pool:
        results = list(zip(files, pool.map(decode, files), strict=True))
    kept = [(photo.stem, decoded) for (photo, _), decoded in results if not isinstance(decoded, str)]
    skipped = [decoded for _, decoded in results if isinstance(decoded, str)]
    if not kept:
        raise DataError(f"None of the {len(files)} pairs can be read. The first problem: {skipped[0]}")
    photos, sketches = (torch.stack([decoded[domain] for _, decoded in kept]) for domain in (0, 1))
    return Pairs(photos, sketches, [name for name, _ in kept], skipped)


def evaluate(
    pipe: FaceSketchPipeline, photos: Tensor, sketches: Tensor, size: int = SIZE
) -> dict[str, dict[str, float]]:
    """Return the mean figures in each direction: {"photo_to_sketch": {"ssim": ...}, "sketch_to_photo": ...}.

    Args:
        pipe: the model. During training, give it copies of the generators, since a pipeline casts its generators.
        photos, sketches: pairs as `load_pairs` returns them, (N, 3, S, S) uint8.
        size: the side in pixels at which pictures are compared.
    """
    sums: dict[str, dict[str, float]] = {direction: {} for direction in Direction}
    for comparison in compare(pipe, photos, sketches, size):
        of_direction = sums[comparison.direction]
        for name, values in comparison.figures.items():
            of_direction[name] = of_direction.get(name, 0.0) + values.sum().item() / len(photos)
    return sums


@torch.inference_mode()
def compare(pipe: FaceSketchPipeline, photos: Tensor, sketches: Tensor, size: int = SIZE) -> Iterator[Comparison]:
    """Translate all photos and then all sketches, back as well, and measure every picture."""
    ways = (
        (photos, sketches, pipe.sketch_generator, pipe.photo_generator),
        (sketches, photos, pipe.photo_generator, pipe.sketch_generator),
    )
    for direction, (inputs, targets, there, back) in zip(Direction, ways, strict=True):
        for start in range(0, len(inputs), BATCH):
            given, wanted = (normalise(part[start : start + BATCH].to(pipe.device)) for part in (inputs, targets))
            working = resize(given, pipe.image_size)
            made = pipe.translate(there, working).float()
            cycled = pipe.translate(back, made).float()
            compared = resize(given, size), resize(made, size), resize(wanted, size)
            figures = paired_figures(compared[1], compared[2])
            figures["cycle_l1"] = cycle_l1(compared[0], resize(cycled, size))
            figures["luminance_correlation"] = luminance_correlation(compared[0], compared[1])
            pictures = working, made, resize(wanted, pipe.image_size), cycled
            yield Comparison(direction, pictures, compared, figures)


def paired_figures(made: Tensor, wanted: Tensor) -> dict[str, Tensor]:
    """Return how similar results and targets are: `ssim`, `psnr` (dB, at most 80) and `fsim`, each (N,).

    SSIM follows Wang et al. 2004 (Gaussian window of 11 x 11, sigma 1.5, whole windows only), and FSIM follows Zhang et
    al. 2011 (without chrominance). Equal pictures have an SSIM and FSIM of 1.

    Args:
        made, wanted: results and targets, (N, 3, H, W) in [-1, 1], at least 11 x 11 pixels.
    """
    with extra("evaluate", "Comparing pictures", DataError):
        import piq  # here, for it loads torchvision: two seconds that nothing else of the command line needs

    pictures = luminance(made), luminance(wanted)
    return {
        "ssim": piq.ssim(*pictures, data_range=1.0, reduction="none", downsample=False),
        "psnr": piq.psnr(*pictures, data_range=1.0, reduction="none"),
        "fsim": piq.fsim(*pictures, data_range=1.0, reduction="none", chromatic=False),
    }


def luminance_correlation(given: Tensor, made: Tensor) -> Tensor:
    """Return Pearson's correlation of the luminance of two pictures over their pixels: whether dark stays dark.

    Args:
        given, made: (N, 3, H, W) in [-1, 1].

    Returns:
        (N,) in [-1, 1], and 0 where a picture has only one luminance.
    """
    directions = []
    for picture in (luminance(given).flatten(1), luminance(made).flatten(1)):
        centred = picture - picture.mean(1, keepdim=True)
        varies = centred.abs().amax(1, keepdim=True) > 1e-6  # below lies the rounding of the mean
        directions.append(F.normalize(centred) * varies)
    return (directions[0] * directions[1]).sum(1)


def cycle_l1(given: Tensor, back: Tensor) -> Tensor:
    """Return the mean absolute difference between inputs and reconstructions: (N, 3, H, W) in [-1, 1] -> (N,)."""
    return (given - back).abs().mean((1, 2, 3))


def luminance(pictures: Tensor) -> Tensor:
    """(N, 3, H, W) in [-1, 1] -> (N, 1, H, W) in [0, 1], by ITU-R BT.601."""
    weights = torch.tensor((0.299, 0.587, 0.114), device=pictures.device)
    grey = torch.einsum("nchw,c->nhw", pictures.float(), weights)[:, None]
    return ((grey + 1) / 2).clamp(0, 1)  # rounding must not leave the range that the metrics check


def resize(pictures: Tensor, size: int) -> Tensor:
    """(N, 3, S, S) -> (N, 3, size, size), both in [-1, 1]: bicubic with antialiasing."""
    if pictures.shape[-1] == size:
        return pictures
    return F.interpolate(pictures, (size, size), mode="bicubic", antialias=True).clamp(-1, 1)


def distribution_figures(made: Tensor, wanted: Tensor) -> dict[str, float]:
    """Return how similar two sets of pictures are, from their Inception features (N, D): `fid` and `kid`.

    FID follows Heusel et al. 2017 (https://arxiv.org/abs/1706.08500) and KID follows Binkowski et al. 2018
    (https://arxiv.org/abs/1801.01401). `kid` is multiplied by 1000, and its subsets are always drawn the same way.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.kid import KernelInceptionDistance

    known = _Known()
    known.num_features = made.shape[1]
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # that KID keeps all features: they are few
        torch.manual_seed(0)
        subset = min(KID_SUBSET_SIZE, len(made), len(wanted))
        fid, kid = FrechetInceptionDistance(known), KernelInceptionDistance(known, KID_SUBSETS, subset)
        for metric in (fid, kid):
            metric.update(wanted, real=True)
            metric.update(made, real=False)
        return {"fid": fid.compute().item(), "kid": 1000 * kid.compute()[0].item()}


class _Known(nn.Identity):
    """Replaces the Inception network that torchmetrics expects, because the features are already known."""

    num_features: int


def load_lpips() -> nn.Module:
    """Load the AlexNet version of LPIPS (Zhang et al. 2018, https://arxiv.org/abs/1801.03924).

    It maps two batches (N, 3, H, W) in [-1, 1] to (N, 1, 1, 1), and is downloaded when first needed.
    """
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    return LearnedPerceptualImagePatchSimilarity(net_type="alex").net


def load_inception() -> nn.Module:
    """Load the Inception network of FID and KID, which is downloaded when first needed.

    It maps (N, 3, H, W) uint8 to 2,048 features per picture (Heusel et al. 2017, https://arxiv.org/abs/1706.08500).
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    return FrechetInceptionDistance().inception


def load_network(metrics: str, load: Callable[[], nn.Module], notes: list[str]) -> nn.Module | None:
    """Load the network of a metric. If that fails, return None and add a note that says why."""
    variable = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"  # torch.hub would run what a downloaded file says
    before = os.environ.get(variable)
    os.environ[variable] = "1"
    try:
        return load()
    except ImportError:
        notes.append(f"{metrics} left out: {install('evaluate')} brings what they need.")
    except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
        notes.append(f"{metrics} left out: its network could not be loaded ({error}).")
    finally:
        os.environ.pop(variable)
        if before is not None:
            os.environ[variable] = before
    return None
