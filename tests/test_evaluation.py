import os
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from conftest import command, make_pipeline, picture
from torch import Tensor, nn

from cyclegan import FaceSketchPipeline
from cyclegan.data.layouts import DataSet
from cyclegan.data.names import find_pairs
from cyclegan.data.sources import DataError
from cyclegan.evaluation.loading import load
from cyclegan.evaluation.metrics import (
    cycle_l1,
    distribution_figures,
    load_network,
    luminance_correlation,
    paired_figures,
    perceptual_figures,
    resize,
)
from cyclegan.evaluation.pairs import Squares, load_pairs
from cyclegan.evaluation.protocol import mean_figures, measure
from cyclegan.evaluation.scoot import scoot
from cyclegan.images import crop_square, to_image, to_tensor

Grey = np.ndarray  # (H, W) luminance in [0, 1]


def pictures(*seeds: int, size: int = 48) -> Tensor:
    """Smooth random pictures: (N, 3, size, size) uint8."""
    return torch.stack([to_tensor(picture(seed, (size, size))) for seed in seeds])


def in_range(pixels: Tensor) -> Tensor:
    return pixels / 127.5 - 1


def grey(pixels: Tensor) -> Grey:
    """One (3, H, W) uint8 -> luminance, written out."""
    red, green, blue = pixels.numpy().astype(np.float64) / 255
    return 0.299 * red + 0.587 * green + 0.114 * blue


def noisy(pixels: Tensor, strength: float) -> Tensor:
    noise = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(0)) * strength
    return (pixels + noise).round().clamp(0, 255).to(torch.uint8)


def ssim(x: Grey, y: Grey) -> float:
    """Wang et al. 2004, equation 13, window by window."""
    offsets = np.arange(11) - 5
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2 = 0.01**2, 0.03**2
    values = []
    for top in range(x.shape[0] - 10):
        for left in range(x.shape[1] - 10):
            p, q = (image[top : top + 11, left : left + 11] for image in (x, y))
            mean_p, mean_q = (window * p).sum(), (window * q).sum()
            variance_p, variance_q = (window * (p - mean_p) ** 2).sum(), (window * (q - mean_q) ** 2).sum()
            covariance = (window * (p - mean_p) * (q - mean_q)).sum()
            values.append(
                (2 * mean_p * mean_q + c1)
                * (2 * covariance + c2)
                / ((mean_p**2 + mean_q**2 + c1) * (variance_p + variance_q + c2))
            )
    return float(np.mean(values))


def phase_congruency(image: Grey) -> Grey:
    """Kovesi's, as Zhang et al. 2011 use it: four log-Gabor scales (6, 12, 24, 48 pixels) at four angles."""
    height, width = image.shape
    v, u = np.meshgrid(np.fft.fftfreq(height), np.fft.fftfreq(width), indexing="ij")
    radius, angle = np.hypot(u, v), np.arctan2(-v, u)
    low_pass = 1 / (1 + (radius / 0.45) ** 30)
    radius[0, 0] = 1
    spectrum, energy, amplitude = np.fft.fft2(image), np.zeros_like(image), np.zeros_like(image)
    for theta in np.arange(4) * np.pi / 4:
        apart = np.abs(np.angle(np.exp(1j * (angle - theta))))
        spread = np.exp(-(apart**2) / (2 * (np.pi / 4 / 1.2) ** 2))
        filters = []
        for wavelength in (6, 12, 24, 48):
            gabor = np.exp(-(np.log(radius * wavelength) ** 2) / (2 * np.log(0.55) ** 2)) * low_pass
            gabor[0, 0] = 0
            filters.append(gabor * spread)
        responses = np.array([np.fft.ifft2(spectrum * one) for one in filters])
        whole = responses.sum(0)
        unit = whole / (np.abs(whole) + 1e-12)
        turned = responses * unit.conj()
        # Noise: the median of the finest scale's power gives the strength, the filters' overlaps the sum's spread
        power = np.median(np.abs(responses[0]) ** 2) / np.log(2) / (filters[0] ** 2).sum()
        kernels = np.array([np.fft.ifft2(one).real for one in filters]) * np.sqrt(height * width)
        overlaps = np.einsum("ahw,bhw->ab", kernels, kernels)
        tau = np.sqrt(power * (np.trace(overlaps) + 2 * np.triu(overlaps, 1).sum()))
        threshold = tau * (np.sqrt(np.pi / 2) + 2 * np.sqrt(2 - np.pi / 2)) / 1.7
        energy = energy + np.maximum((turned.real - np.abs(turned.imag)).sum(0) - threshold, 0)
        amplitude = amplitude + np.abs(responses).sum(0)
    return energy / amplitude


def fsim(x: Grey, y: Grey) -> float:
    """Zhang et al. 2011, equations 3 to 7, on luminance in [0, 255]."""

    def gradient(image: Grey) -> Grey:
        padded = np.pad(image, 1)
        down, right = padded[2:] - padded[:-2], padded[:, 2:] - padded[:, :-2]
        vertical = (3 * down[:, :-2] + 10 * down[:, 1:-1] + 3 * down[:, 2:]) / 16
        horizontal = (3 * right[:-2] + 10 * right[1:-1] + 3 * right[2:]) / 16
        return np.hypot(vertical, horizontal)

    def alike(one: Grey, other: Grey, constant: float) -> Grey:
        return (2 * one * other + constant) / (one**2 + other**2 + constant)

    x, y = x * 255, y * 255
    phase_x, phase_y = phase_congruency(x), phase_congruency(y)
    weight = np.maximum(phase_x, phase_y)
    score = alike(phase_x, phase_y, 0.85) * alike(gradient(x), gradient(y), 160) * weight
    return float(score.sum() / weight.sum())


def psnr(x: Grey, y: Grey) -> float:
    return float(10 * np.log10(1 / np.mean((x - y) ** 2)))


def scoot_by_hand(x: np.ndarray, y: np.ndarray) -> float:
    """Fan et al. 2019, pair of pixels by pair of pixels, on (H, W) uint8."""

    def statistics(block: np.ndarray) -> list[float]:
        counts = np.zeros((6, 6))
        for row in range(block.shape[0]):
            for column in range(block.shape[1]):
                for down, right in ((0, 1), (-1, 1), (-1, 0), (-1, -1)):
                    if 0 <= row + down < block.shape[0] and 0 <= column + right < block.shape[1]:
                        one, other = int(block[row, column]), int(block[row + down, column + right])
                        counts[min(5, int(6 * one / 255)), min(5, int(6 * other / 255))] += 1
        shares = np.floor(counts / 4 + 0.5)
        shares /= shares.sum()
        contrast = sum((i - j) ** 2 * shares[i, j] for i in range(6) for j in range(6))
        return [contrast, (shares**2).sum()]

    def vector(picture: np.ndarray) -> np.ndarray:
        edges = [[side * edge // 4 for edge in range(5)] for side in picture.shape]
        blocks = (
            picture[edges[0][i] : edges[0][i + 1], edges[1][j] : edges[1][j + 1]] for i in range(4) for j in range(4)
        )
        return np.concatenate([statistics(block) for block in blocks])

    return float(1 / (1 + np.linalg.norm(vector(x) - vector(y))))


def test_scoot_is_the_papers_on_pictures_of_any_shape() -> None:
    one, other = (np.asarray(picture(seed, (46, 61), "L")) for seed in (0, 1))
    noise = np.random.default_rng(0).integers(0, 256, one.shape, dtype=np.uint8)
    for x, y in ((one, other), (one, noise), (noise, one)):
        expected = scoot_by_hand(x, y)
        got = scoot(*(torch.from_numpy(part.copy())[None] for part in (x, y)))
        assert got.tolist() == pytest.approx([expected], abs=1e-6)
    assert scoot(torch.from_numpy(one.copy())[None], torch.from_numpy(one.copy())[None]).item() == 1


def haarpsi(x: Grey, y: Grey) -> float:
    """Reisenhofer et al. 2018, equations 8 to 13, on luminance in [0, 255], at half the size as the authors do."""

    def similarity(a: Grey, b: Grey) -> Grey:
        return (2 * a * b + 30) / (a**2 + b**2 + 30)

    def response(image: Grey, scale: int, across: bool) -> Grey:
        image = image.T if across else image
        width = 2**scale
        padded = np.pad(image, width)
        total = np.zeros_like(image)
        for i in range(width):
            for j in range(width):
                sign = 1 if i < width // 2 else -1
                top, left = width // 2 - i, width // 2 - j  # as the kernel is turned when it is convolved with
                shifted = np.roll(padded, (-top, -left), (0, 1))[width:-width, width:-width]
                total = total + sign * shifted / 2**scale
        return total.T if across else total

    x, y = ((image[::2, ::2] + image[1::2, ::2] + image[::2, 1::2] + image[1::2, 1::2]) * 255 / 4 for image in (x, y))
    numerator = denominator = 0.0
    for across in (False, True):
        responses = [[np.abs(response(image, scale, across)) for scale in (1, 2, 3)] for image in (x, y)]
        local = sum(similarity(responses[0][scale], responses[1][scale]) for scale in (0, 1)) / 2
        weight = np.maximum(responses[0][2], responses[1][2])
        numerator += (weight / (1 + np.exp(-4.2 * local))).sum()
        denominator += weight.sum()
    score = numerator / denominator
    return float((np.log(score / (1 - score)) / 4.2) ** 2)


def test_haarpsi_is_the_papers_and_scoot_is_for_drawings() -> None:
    made, wanted = noisy(pictures(0, 1, size=64), 20), pictures(0, 2, size=64)
    figures = perceptual_figures(in_range(made), in_range(wanted), drawn=True)
    expected = [haarpsi(grey(x), grey(y)) for x, y in zip(made, wanted, strict=True)]
    assert figures["haarpsi"].tolist() == pytest.approx(expected, abs=1e-4)
    bits = [torch.from_numpy(np.round(grey(x) * 255).astype(np.uint8))[None] for x in (made[0], wanted[0])]
    assert figures["scoot"][0].item() == pytest.approx(scoot(*bits).item(), abs=1e-3)
    assert "scoot" not in perceptual_figures(in_range(made), in_range(wanted), drawn=False)


@pytest.mark.parametrize("size", [48, 128])
@pytest.mark.parametrize("metric", [ssim, psnr, fsim])
def test_a_figure_is_the_papers(metric: Callable[[Grey, Grey], float], size: int) -> None:
    made, wanted = noisy(pictures(0, 1, 2, size=size), 20), pictures(0, 1, 3, size=size)
    got = paired_figures(in_range(made), in_range(wanted))[metric.__name__]
    assert got.shape == (3,)
    expected = [metric(grey(x), grey(y)) for x, y in zip(made, wanted, strict=True)]
    assert got.tolist() == pytest.approx(expected, abs=2e-4)


def test_figures_are_the_same_both_ways_and_best_for_equal_pictures() -> None:
    made, wanted = in_range(pictures(0, 1)), in_range(pictures(2, 3))
    one, other = paired_figures(made, wanted), paired_figures(wanted, made)
    same = paired_figures(made, made)
    for name, best in (("ssim", 1.0), ("fsim", 1.0), ("psnr", 80.0)):
        assert torch.allclose(one[name], other[name], atol=1e-5)
        assert same[name].tolist() == pytest.approx([best, best], abs=1e-4)


def test_figures_fall_with_noise() -> None:
    clean = pictures(0, size=64)
    steps = [paired_figures(in_range(noisy(clean, strength)), in_range(clean)) for strength in (2, 10, 40)]
    for name in ("ssim", "psnr", "fsim"):
        values = [step[name].item() for step in steps]
        assert values == sorted(values, reverse=True)
        assert values[0] > values[-1]


def test_two_colours_of_one_luminance_are_equal() -> None:
    """0.299 red and 0.587 green are as bright as each other when red is 0.587 / 0.299 as strong."""
    red, green = torch.full((1, 3, 32, 32), -1.0), torch.full((1, 3, 32, 32), -1.0)
    red[:, 0] = 2 * 0.587 - 1
    green[:, 1] = 2 * 0.299 - 1
    assert paired_figures(red, green)["psnr"].item() == pytest.approx(80, abs=0.1)


def test_luminance_correlation_is_pearsons() -> None:
    given, made = pictures(0, 1), pictures(2, 3)
    expected = [np.corrcoef(grey(x).ravel(), grey(y).ravel())[0, 1] for x, y in zip(given, made, strict=True)]
    assert luminance_correlation(in_range(given), in_range(made)).tolist() == pytest.approx(expected, abs=1e-5)
    assert luminance_correlation(in_range(given), -in_range(given)).tolist() == pytest.approx([-1, -1])
    flat = torch.full((1, 3, 48, 48), 0.3)
    assert luminance_correlation(flat, in_range(given[:1])).item() == 0


def test_cycle_l1_is_a_mean_over_everything_but_the_batch() -> None:
    given = torch.zeros(2, 3, 4, 4)
    back = given.clone()
    back[1, 0] = 0.75
    assert cycle_l1(given, back).tolist() == [0, 0.25]


class Fixed(nn.Module):
    """A generator that answers each known picture with its partner."""

    multiple = 4

    def __init__(self, photos: Tensor, sketches: Tensor) -> None:
        super().__init__()
        self.known, self.answers = in_range(photos), in_range(sketches)

    def forward(self, given: Tensor, condition: Tensor | None = None, large: bool = False) -> Tensor:
        return torch.stack([self.answers[(self.known - one).abs().sum((1, 2, 3)).argmin()] for one in given])


class Unchanged(nn.Module):
    """A generator that returns the picture that it is given."""

    multiple = 4

    def forward(self, given: Tensor, condition: Tensor | None = None, large: bool = False) -> Tensor:
        return given


def fixed_pipeline(photos: Tensor, sketches: Tensor) -> FaceSketchPipeline:
    generators = Fixed(photos, sketches), Fixed(sketches, photos)
    return FaceSketchPipeline(*generators, image_size=photos.shape[-1], device="cpu")  # type: ignore[arg-type]


def test_a_perfect_model_scores_one() -> None:
    photos, sketches = pictures(*range(10)), pictures(*range(10, 20))
    for figures in mean_figures(fixed_pipeline(photos, sketches), photos, sketches, size=48).values():
        assert figures["ssim"] == pytest.approx(1, abs=1e-5)
        assert figures["fsim"] == pytest.approx(1, abs=1e-5)
        assert figures["psnr"] == pytest.approx(80, abs=0.1)
        assert figures["cycle_l1"] == pytest.approx(0, abs=1e-6)


def test_each_direction_is_measured_on_its_own_pictures() -> None:
    photos, sketches = pictures(0, 1, 2), pictures(3, 4, 5)
    pipe = fixed_pipeline(photos, sketches)
    pipe.photo_generator.answers = in_range(photos.flip(0))
    figures = mean_figures(pipe, photos, sketches, size=48)
    assert figures["photo_to_sketch"]["ssim"] == pytest.approx(1, abs=1e-5)
    assert figures["sketch_to_photo"]["ssim"] < 0.9
    expected = cycle_l1(in_range(photos), in_range(photos.flip(0))).mean().item()
    assert figures["photo_to_sketch"]["cycle_l1"] == pytest.approx(expected, abs=1e-5)


def test_what_a_small_working_size_loses_counts_in_the_cycle() -> None:
    photos = torch.randint(256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    pipe = FaceSketchPipeline(Unchanged(), Unchanged(), image_size=32, device="cpu")  # type: ignore[arg-type]
    for figures in mean_figures(pipe, photos, photos, size=64).values():
        assert figures["cycle_l1"] > 0.1
    for figures in mean_figures(pipe, photos, photos, size=32).values():
        assert figures["cycle_l1"] == pytest.approx(0, abs=1e-6)


def test_a_mean_is_over_all_pictures_however_they_are_batched() -> None:
    photos, sketches = pictures(*range(11), size=32), pictures(*range(11, 22), size=32)
    pipe = make_pipeline()
    whole = mean_figures(pipe, photos, sketches, size=32)
    alone = [mean_figures(pipe, photos[i : i + 1], sketches[i : i + 1], size=32) for i in range(11)]
    for direction, figures in whole.items():
        for name, mean in figures.items():
            assert mean == pytest.approx(np.mean([one[direction][name] for one in alone]), abs=1e-4)


def test_pictures_are_compared_at_one_size_whatever_the_model_works_at() -> None:
    photos, sketches = pictures(0, 1, size=64), pictures(2, 3, size=64)
    for working in (32, 64):
        batch = next(measure(make_pipeline(image_size=working), Squares(photos, sketches, working, 40), 2))
        assert {part.shape[-1] for part in batch.pictures} == {working}
        assert {part.shape[-1] for part in batch.compared} == {40}
        _, made, wanted = batch.compared
        assert torch.equal(wanted, resize(in_range(sketches), 40))
        assert torch.equal(batch.figures["fsim"], paired_figures(made, wanted)["fsim"])


def test_resizing_is_pillows() -> None:
    """The size the pictures are cached at must not change a figure: both resizes are bicubic with antialiasing."""
    large = to_tensor(picture(0, (96, 96)))
    noise = torch.randint(0, 256, large.shape, generator=torch.Generator().manual_seed(0))
    large = torch.where(torch.arange(96) < 48, large, noise).to(torch.uint8)
    small = to_tensor(crop_square(to_image(in_range(large)), 40))
    assert (resize(in_range(large[None]), 40)[0] - in_range(small)).abs().max() < 2.1 / 127.5


def write(folder: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        picture(number).save(folder / name)
    return folder


def test_pairs_match_by_place_and_name(tmp_path: Path) -> None:
    photos = write(tmp_path / "photos", "b.png", "a.jpg", "day/a.png", "alone.png", "dr.no.png")
    sketches = write(tmp_path / "sketches", "a.png", "b.webp", "day/a.bmp", "other.png", "dr.yes.png")
    names = [(str(p.relative_to(photos)), str(s.relative_to(sketches))) for p, s in find_pairs(photos, sketches)]
    assert names == [("a.jpg", "a.png"), ("b.png", "b.webp"), ("day/a.png", "day/a.bmp")]


def test_a_name_matches_however_its_accents_are_written(tmp_path: Path) -> None:
    photos, sketches = (
        write(tmp_path / "p", "Zo\u00eb.png", "Zoe\u0308.png", "\u00e9.png"),
        write(tmp_path / "s", "Zoe\u0308.png", "Zo\u00eb.png", "bold/e\u0301.png"),
    )
    pairs = {sketch.stem: photo.stem for photo, sketch in find_pairs(photos, sketches)}
    assert pairs == {"Zoe\u0308": "Zoe\u0308", "Zo\u00eb": "Zo\u00eb", "e\u0301": "\u00e9"}


def test_pairs_may_lie_anywhere(tmp_path: Path) -> None:
    write(tmp_path / "camera", "a.jpg", "2024/b.png", "notes.png")
    write(tmp_path / "scans", "bold/a.png", "bold/2024/b.png", "fine/a.png")
    patterns = DataSet(photos=(f"{tmp_path}/camera/**/*",), sketches=(f"{tmp_path}/scans/*",))
    found = load(patterns, "square", 32)
    assert sorted(found.pairs.names) == ["bold/2024/b", "bold/a", "fine/a"]
    assert sorted(found.styles) == ["bold", "bold", "fine"]
    with pytest.raises(DataError, match="--protocol fs2k needs --data"):
        load(patterns, "fs2k", 32)


@pytest.mark.parametrize("flags", [[], ["--data", "x", "--photos", "a*", "--sketches", "b*"]])
def test_pairs_are_named_in_one_way(flags: list[str]) -> None:
    assert "Pass either --data FOLDER, or --photos and --sketches" in command("evaluate", *flags).stderr


@pytest.mark.parametrize("size", [-1, 0, 31, 4097, 10**9])
def test_a_size_out_of_bounds_is_refused(tmp_path: Path, size: int) -> None:
    with pytest.raises(DataError, match=f"--size must be between 32 and 4096; got {size}"):
        load(tmp_path, "square", 32, size)


@pytest.mark.parametrize(
    ("photos", "sketches", "words"),
    [
        (["a.png"], ["b.png"], "No picture in .*photos has the same name as one in .*sketches"),
        (["a.png", "a.jpg"], ["a.png"], r"a\.jpg and .*a\.png have the same name"),
        (["a.png"], [], "sketches is missing"),
    ],
)
def test_pairs_that_are_none_are_a_sentence(tmp_path: Path, photos: list[str], sketches: list[str], words: str) -> None:
    write(tmp_path / "photos", *photos)
    write(tmp_path / "sketches", *sketches)
    with pytest.raises(DataError, match=words):
        find_pairs(tmp_path / "photos", tmp_path / "sketches")


def test_a_pair_with_an_unreadable_picture_is_named_and_left_out(tmp_path: Path) -> None:
    photos = write(tmp_path / "photos", "a.png", "b.png", "c.png")
    sketches = write(tmp_path / "sketches", "a.png", "b.png", "c.png")
    (sketches / "b.png").write_bytes(b"nothing")
    pairs = load_pairs(find_pairs(photos, sketches), 32)
    assert pairs.photos.shape == pairs.sketches.shape == (2, 3, 32, 32)
    assert torch.equal(pairs.photos, pairs.sketches)
    assert pairs.names == ["a", "c"]
    (reason,) = pairs.skipped
    assert "b.png is not a picture" in reason
    with pytest.raises(DataError, match="None of the 1 pairs can be read"):
        load_pairs([(photos / "b.png", sketches / "b.png")], 32)


def test_sets_are_compared_by_the_distance_of_their_gaussians() -> None:
    """FID by its formula where covariances commute: |m - n|^2 + |sqrt(C) - sqrt(D)|^2."""
    draw = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    draw = draw - draw.mean(0)
    white = draw @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(draw.T))).T
    wide = white * torch.tensor([2.0, 1.0, 1.0]) + torch.tensor([3.0, 0.0, 0.0])
    assert distribution_figures(wide.float(), white.float())["fid"] == pytest.approx(9 + 1, abs=1e-3)
    assert distribution_figures(white.float(), white.float())["fid"] == pytest.approx(0, abs=1e-3)


def test_kid_is_the_unbiased_estimate_with_a_cubic_kernel() -> None:
    """Where a subset is everything, every subset is the same and KID is one number, times 1000."""
    x, y = torch.randn(2, 12, 4, generator=torch.Generator().manual_seed(0)).double()

    def kernel(p: Tensor, q: Tensor) -> Tensor:
        return (p @ q.T / 4 + 1) ** 3

    within = sum((kernel(p, p).sum() - kernel(p, p).trace()) / (12 * 11) for p in (x, y))
    expected = 1000 * float(within - 2 * kernel(x, y).mean())
    assert distribution_figures(x.float(), y.float())["kid"] == pytest.approx(expected, rel=1e-3)


def test_a_network_that_cannot_be_had_is_one_sentence() -> None:
    def unreachable() -> nn.Module:
        raise URLError("no way out")

    def uninstalled() -> nn.Module:
        raise ModuleNotFoundError("torch_fidelity")

    notes: list[str] = []
    assert load_network("LPIPS", unreachable, notes) is None
    assert load_network("FID and KID", uninstalled, notes) is None
    assert "LPIPS left out" in notes[0]
    assert "no way out" in notes[0]
    assert "FID and KID left out: pip install 'cyclegan[evaluate]'" in notes[1]


def test_no_code_of_a_downloaded_network_is_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
            return Path.touch, (tmp_path / "sprung",)  # type: ignore[return-value]

    torch.save({"weight": Trap()}, tmp_path / "network.pth")
    notes: list[str] = []
    load_network("FID", lambda: torch.load(tmp_path / "network.pth", weights_only=False), notes)
    assert "FID left out" in notes[0]
    assert not (tmp_path / "sprung").exists()
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ
