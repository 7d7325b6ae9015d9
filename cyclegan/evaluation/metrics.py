"""The figures: what is computed of pictures, for each of them or for a whole set.

piq computes SSIM, PSNR, FSIM and HaarPSI. torchmetrics computes LPIPS, FID and KID. LPIPS and the Inception network are
downloaded when first needed.
"""

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ..data.sources import DataError
from ..extras import extra, install
from ..networks import Features
from .scoot import scoot

FACE_SIZE = 112  # pixels: the side that face recognition networks take
KID_SUBSETS, KID_SUBSET_SIZE = 100, 50


def paired_figures(made: Tensor, wanted: Tensor, colour: bool = False, border: int = 0) -> dict[str, Tensor]:
    """Return how similar results and targets are: `ssim`, `psnr` (dB, at most 80) and `fsim`, each (N,).

    SSIM follows Wang et al. 2004 (Gaussian window of 11 x 11, sigma 1.5, whole windows only), and FSIM follows Zhang et
    al. 2011. Equal pictures have an SSIM and FSIM of 1.

    Args:
        made, wanted: results and targets, (N, 3, H, W) in [-1, 1], at least 11 x 11 pixels.
        colour: whether FSIM counts chrominance as well (FSIMc in its paper).
        border: by so many pixels the edges are repeated for SSIM; MATLAB's `ssim` does so by 5.
    """
    with extra("evaluate", "Comparing pictures", DataError):
        import piq  # here, for it loads torchvision: two seconds that nothing else of the command line needs

    pictures = luminance(made), luminance(wanted)
    in_fsim = [(picture.float().clamp(-1, 1) + 1) / 2 for picture in (made, wanted)] if colour else pictures
    bordered = [F.pad(picture, [border] * 4, mode="replicate") for picture in pictures]
    return {
        "ssim": piq.ssim(*bordered, data_range=1.0, reduction="none", downsample=False),
        "psnr": piq.psnr(*pictures, data_range=1.0, reduction="none"),
        "fsim": piq.fsim(*in_fsim, data_range=1.0, reduction="none", chromatic=colour),
    }


def perceptual_figures(made: Tensor, wanted: Tensor, drawn: bool) -> dict[str, Tensor]:
    """Return `haarpsi` and, for drawings, `scoot`: each (N,), of the luminance, and 1 for equal pictures.

    HaarPSI follows Reisenhofer et al. 2018 (https://arxiv.org/abs/1607.06140), with its constants C = 30 and
    alpha = 4.2. SCOOT sees 8 bits: see `scoot`.

    Args:
        made, wanted: results and targets, (N, 3, H, W) in [-1, 1], at least 32 x 32 pixels.
        drawn: whether the targets are drawings, for which SCOOT was made.
    """
    import piq

    pictures = luminance(made), luminance(wanted)
    figures = {"haarpsi": piq.haarpsi(*pictures, data_range=1.0, reduction="none")}
    if drawn:
        figures["scoot"] = scoot(*(picture[:, 0].mul(255).round().to(torch.uint8).cpu() for picture in pictures))
    return figures


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
    """Return how similar two sets of pictures are, from their features (N, D): `fid` and `kid`.

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


def load_features(source: str | Path) -> Features:
    """Load the first layers of VGG16, from `torchvision` or a safetensors file.

    Raises:
        DataError: they cannot be downloaded, or the file does not hold them.
    """
    features = Features()
    try:
        if source == "torchvision":
            from torchvision.models import VGG16_Weights

            tensors = VGG16_Weights.IMAGENET1K_V1.get_state_dict(progress=True, check_hash=True)
        else:
            tensors = load_file(source)
        features.load_state_dict({name: tensors[name] for name in features.state_dict()})
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise DataError(
            f"VGG16 could not be loaded from {source} ({error}). Pass --perceptual-network a safetensors file with the "
            "names of torchvision's tensors."
        ) from None
    return features


def load_face_network(file: str) -> nn.Module:
    """Load a face recognition network from an ONNX file: (B, 3, H, W) in [-1, 1] -> (B, D). It is never trained.

    Raises:
        DataError: onnx2torch is not installed, or the file holds no such network.
    """
    with extra("likeness", "--likeness-weight", DataError):
        from onnx2torch import convert
    try:
        network = _Face(convert(file)).eval().requires_grad_(False)
        found = tuple(network(torch.zeros(2, 3, FACE_SIZE, FACE_SIZE)).shape)
        if len(found) != 2 or found[0] != 2:
            raise ValueError(f"it gives {found} for two faces")
    except Exception as error:  # onnx2torch raises nearly anything for a file that it cannot use
        reason = " ".join(str(error).split())
        raise DataError(
            f"The face network could not be loaded from {file} ({reason:.300}). Pass --likeness-network an ONNX file "
            f"that takes (N, 3, {FACE_SIZE}, {FACE_SIZE}) and gives (N, D)."
        ) from None
    return network


class _Face(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, faces: Tensor) -> Tensor:
        return self.network(F.interpolate(faces, (FACE_SIZE, FACE_SIZE), mode="bilinear", antialias=True))


def load_vgg(file: Path) -> nn.Module:
    """Load the first layers of VGG16 from a safetensors file, for a KID that needs no download.

    It maps (N, 3, H, W) uint8 to 448 features per picture: relu1_2, relu2_2 and relu3_3, the features of each place
    brought to a mean square of 1, and averaged over all places.

    Raises:
        DataError: as `load_features`.
    """
    return _Means(load_features(file))


class _Means(nn.Module):
    def __init__(self, network: Features) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        layers = self.network(pixels / 127.5 - 1)  # (N, C, H, W) each
        return torch.cat([F.normalize(layer).mean((2, 3)) * layer.shape[1] ** 0.5 for layer in layers], 1)


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
