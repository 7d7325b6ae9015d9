"""Files in the layouts of other code, made here by networks of those layouts, and what they give."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import command, picture
from safetensors.torch import save_file
from torch import Tensor, nn

from cyclegan import FaceSketchPipeline
from cyclegan.__main__ import import_weights
from cyclegan.importing import read_generator
from cyclegan.networks import Generator
from cyclegan.release import WeightsError


class Residual(nn.Module):
    def __init__(self, name: str, *layers: nn.Module) -> None:
        super().__init__()
        self.name = name
        self.add_module(name, nn.Sequential(*layers))

    def forward(self, x: Tensor) -> Tensor:
        return x + getattr(self, self.name)(x)


def norm(channels: int, tracked: bool = False) -> list[nn.Module]:
    return [nn.InstanceNorm2d(channels, track_running_stats=tracked), nn.ReLU(True)]


def resized(w: int, padded: bool) -> list[nn.Module]:
    """Nearest-neighbour up-sampling, then a convolution."""
    layers: list[nn.Module] = []
    for channels in (4 * w, 2 * w):
        convolution = nn.Conv2d(channels, channels // 2, 3, padding=0 if padded else 1)
        padding = [nn.ReflectionPad2d(1)] if padded else []
        layers += [nn.Upsample(scale_factor=2), *padding, convolution, *norm(channels // 2)]
    return layers


def ups(w: int) -> list[nn.Module]:
    return [
        *(nn.ConvTranspose2d(4 * w, 2 * w, 3, 2, 1, output_padding=1), *norm(2 * w)),
        *(nn.ConvTranspose2d(2 * w, w, 3, 2, 1, output_padding=1), *norm(w)),
    ]


class Reference(nn.Module):
    """Padding layers of their own, everything in one Sequential called `model`, maybe with dropout."""

    def __init__(self, w: int, blocks: int, dropout: bool = False) -> None:
        super().__init__()
        layers = [nn.ReflectionPad2d(3), nn.Conv2d(3, w, 7), *norm(w)]
        layers += [nn.Conv2d(w, 2 * w, 3, 2, 1), *norm(2 * w), nn.Conv2d(2 * w, 4 * w, 3, 2, 1), *norm(4 * w)]
        for _ in range(blocks):
            one, other = (nn.Conv2d(4 * w, 4 * w, 3) for _ in range(2))
            middle = [nn.Dropout(0.5)] if dropout else []
            layers.append(
                Residual(
                    "conv_block",
                    *(nn.ReflectionPad2d(1), one, *norm(4 * w), *middle),
                    *(nn.ReflectionPad2d(1), other, nn.InstanceNorm2d(4 * w)),
                )
            )
        self.model = nn.Sequential(*layers, *ups(w), nn.ReflectionPad2d(3), nn.Conv2d(w, 3, 7), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class Original(nn.Module):
    """Zeros as padding, named parts."""

    def __init__(self, w: int, blocks: int) -> None:
        super().__init__()
        self.initial = nn.Sequential(nn.Conv2d(3, w, 7, 1, 3), *norm(w))
        self.down = nn.Sequential(
            *(nn.Conv2d(w, 2 * w, 3, 2, 1), *norm(2 * w)), *(nn.Conv2d(2 * w, 4 * w, 3, 2, 1), *norm(4 * w))
        )
        convolutions = [[nn.Conv2d(4 * w, 4 * w, 3, 1, 1) for _ in range(2)] for _ in range(blocks)]
        self.residual = nn.Sequential(
            *(Residual("block", a, *norm(4 * w), b, nn.InstanceNorm2d(4 * w)) for a, b in convolutions)
        )
        self.up = nn.Sequential(*ups(w))
        self.final = nn.Conv2d(w, 3, 7, 1, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.final(self.up(self.residual(self.down(self.initial(x))))).tanh()


class Flat(nn.Sequential):
    """Zeros as padding, one Sequential without a name."""

    def __init__(self, w: int, blocks: int) -> None:
        parts = Original(w, blocks)
        super().__init__(*parts.initial, *parts.down, *parts.residual, *parts.up, parts.final, nn.Tanh())


LAYOUTS: list[tuple[Callable[[], nn.Module], str, int]] = [
    (lambda: Reference(8, 9), "reflect", 9),
    (lambda: Reference(4, 6, dropout=True), "reflect", 6),
    (lambda: Original(8, 9), "zero", 9),
    (lambda: Original(4, 4), "zero", 4),
    (lambda: nn.DataParallel(Original(4, 4)), "zero", 4),
    (lambda: nn.DataParallel(Flat(4, 9)), "zero", 9),
]


@pytest.mark.parametrize(("make", "padding", "blocks"), LAYOUTS)
@torch.inference_mode()
def test_it_gives_what_the_other_code_gives(
    tmp_path: Path, make: Callable[[], nn.Module], padding: str, blocks: int
) -> None:
    torch.manual_seed(0)
    theirs = make().eval()
    torch.save(theirs.state_dict(), tmp_path / "g.pth")
    ours = read_generator(tmp_path / "g.pth").eval()
    assert (ours.padding, ours.blocks, ours.upsample) == (padding, blocks, "transpose")
    x = torch.rand(1, 3, 24, 32) * 2 - 1
    torch.testing.assert_close(ours(x), getattr(theirs, "module", theirs)(x), rtol=0, atol=1e-5)


def nearest(padded: bool, w: int = 4) -> Reference:
    """The reference implementation's network with another up-sampling."""
    theirs = Reference(w, 2)
    layers = list(theirs.model)
    theirs.model = nn.Sequential(*layers[: -len(ups(w)) - 3], *resized(w, padded), *layers[-3:])
    return theirs


@torch.inference_mode()
def test_up_sampling_by_nearest_neighbours_is_recognised(tmp_path: Path) -> None:
    theirs = nearest(padded=True)
    torch.save(theirs.state_dict(), tmp_path / "g.pth")
    ours = read_generator(tmp_path / "g.pth")
    assert (ours.padding, ours.blocks, ours.upsample) == ("reflect", 2, "resize")
    x = torch.rand(1, 3, 24, 32) * 2 - 1
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-5)
    torch.save(nearest(padded=False).state_dict(), tmp_path / "g.pth")
    with pytest.raises(WeightsError, match="differently"):
        read_generator(tmp_path / "g.pth")


class Apart(nn.Module):
    """Names whose alphabetical order is not the order of the layers."""

    def __init__(self, w: int, blocks: int) -> None:
        super().__init__()
        parts = Original(w, blocks)
        self.start, self.encoder, self.middle, self.decoder, self.end = (
            parts.initial, parts.down, parts.residual, parts.up, parts.final,
        )  # fmt: skip


@pytest.mark.parametrize(
    "make",
    [lambda: Reference(4, 9), lambda: Original(4, 11), lambda: Apart(4, 2), lambda: nearest(padded=True),
     lambda: Generator(4, 2, "zero"), lambda: Generator(4, 2, "zero", "resize")],
)  # fmt: skip
def test_a_safetensors_file_gives_what_a_pth_file_gives(tmp_path: Path, make: Callable[[], nn.Module]) -> None:
    """Its keys come sorted by name."""
    state = make().state_dict()
    torch.save(state, tmp_path / "g.pth")
    save_file(state, tmp_path / "g.safetensors")
    one, other = (read_generator(tmp_path / f"g.{ending}") for ending in ("pth", "safetensors"))
    assert (one.padding, one.upsample) == (other.padding, other.upsample)
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_a_safetensors_file_whose_order_is_unknown_is_refused(tmp_path: Path) -> None:
    state = {name: tensor for name, tensor in Apart(4, 2).state_dict().items() if not name.endswith("bias")}
    save_file(state, tmp_path / "g.safetensors")
    with pytest.raises(WeightsError, match=r"have one shape and no biases.* Use a \.pth file"):
        read_generator(tmp_path / "g.safetensors")


def test_a_network_one_level_down_is_found_and_of_several_one_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "g.pth"
    one, other = Reference(4, 2).state_dict(), Reference(4, 1).state_dict()
    torch.save({"state_dict": one, "epoch": 3, "optimizer": {"state": {}, "param_groups": []}}, path)
    assert read_generator(path).blocks == 2
    torch.save({"netG_A": one, "netG_B": other, "epoch": 3}, path)
    with pytest.raises(WeightsError, match=r"several networks\. Choose one with --networks: netG_A, netG_B"):
        read_generator(path)
    with pytest.raises(WeightsError, match="no network netG_C; it has netG_A, netG_B"):
        read_generator(path, "netG_C")
    assert read_generator(path, "netG_B").blocks == 1
    torch.save({f"{name}.{key}": value for name, s in (("a", one), ("b", other)) for key, value in s.items()}, path)
    assert read_generator(path, "b").blocks == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda b: b + float("nan"), "holds NaN or infinite numbers"),
        (lambda b: b.double() + 1e300, "holds NaN or infinite numbers"),  # in the 32 bits that it would have here
        (lambda b: b.int(), r"must hold floating-point numbers; got torch\.int32"),
        (lambda b: b.to_sparse(), r"must be a dense tensor with numbers; got torch\.sparse_coo"),
        (lambda b: b.to("meta"), "must be a dense tensor with numbers"),
    ],
)
def test_what_holds_no_finite_numbers_is_refused(
    tmp_path: Path, change: Callable[[Tensor], Tensor], words: str
) -> None:
    with pytest.raises(WeightsError, match=rf"model\.4\.bias {words}"):
        read_generator(save(tmp_path / "g.pth", lambda s: s.update({"model.4.bias": change(s["model.4.bias"])})))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2])
def test_any_floating_point_numbers_are_taken(tmp_path: Path, dtype: torch.dtype) -> None:
    state = {name: tensor.to(dtype) for name, tensor in Reference(4, 1).state_dict().items()}
    torch.save(state, tmp_path / "g.pth")
    (weight, *_) = read_generator(tmp_path / "g.pth").state_dict().values()
    assert torch.equal(weight, state["model.1.weight"].float())


def save(path: Path, change: Callable[[dict[str, Tensor]], object]) -> Path:
    state = dict(Reference(4, 2).state_dict())
    change(state)
    torch.save(state, path)
    return path


def test_leftovers_that_change_nothing_are_left(tmp_path: Path) -> None:
    """Statistics of an old InstanceNorm, a scale of one and a shift of zero, no bias where the norm takes it away."""

    def change(state: dict[str, Tensor]) -> None:
        del state["model.1.bias"]
        state |= {"model.2.running_mean": torch.rand(4), "model.2.running_var": torch.rand(4)}
        state |= {"model.5.weight": torch.ones(8), "model.5.bias": torch.zeros(8)}

    generator = read_generator(save(tmp_path / "g.pth", change))
    assert not generator.state_dict()["layers.stem.0.bias"].any()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.update({"model.2.weight": torch.rand(4)}), r"model\.2\.weight belongs to a batch norm"),
        (
            lambda s: [s.pop("model.4.weight"), s.pop("model.4.bias")],
            r"has 9 convolutions. A ResNet generator has 6, plus two for each block",
        ),
        (
            lambda s: s.update({"model.4.weight": torch.rand(8, 4, 4, 4)}),
            r"model\.4\.weight must .* got \(8, 4, 4, 4\)",
        ),
        (lambda s: s.update({"model.1.weight": torch.rand(4, 1, 7, 7)}), r"\(4, 3, 7, 7\); got \(4, 1, 7, 7\)"),
        (lambda s: [s.pop(name) for name in list(s)[4:]], "has 2 convolutions"),
        (lambda s: s.clear(), "has 0 convolutions"),
        (lambda s: s.update({n: t[:0] for n, t in s.items() if t.ndim == 4}), "has 10 convolutions"),
        (lambda s: s.update({"epoch": 3}), "not the state_dict of one network"),
    ],
)
def test_what_is_not_ours_is_refused(tmp_path: Path, change: Callable[[dict[str, Tensor]], object], words: str) -> None:
    with pytest.raises(WeightsError, match=words):
        read_generator(save(tmp_path / "g.pth", change))


def test_mixed_padding_is_refused(tmp_path: Path) -> None:
    state = {name.replace("conv_block.1.", "conv_block.0."): t for name, t in Reference(4, 2).state_dict().items()}
    torch.save(state, tmp_path / "g.pth")
    with pytest.raises(WeightsError, match="differently"):
        read_generator(tmp_path / "g.pth")


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    torch.save(Reference(4, 1), tmp_path / "module.pth")
    (tmp_path / "text.pth").write_text("no weights")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "module.pth").read_bytes()[:5000])
    for name, words in (
        ("module", "could run code"),
        ("text", r"not a \.pth file"),
        ("cut", "damaged"),
        ("none", "exist"),
    ):
        with pytest.raises(WeightsError, match=words):
            read_generator(tmp_path / f"{name}.pth")


def test_the_command_makes_a_release(tmp_path: Path) -> None:
    a, b, c, out = (tmp_path / name for name in ("a.pth", "b.pth", "c.pth", "out"))
    for path, make in ((a, Reference), (b, Reference), (c, Original)):
        torch.save(make(4, 2).state_dict(), path)
    result = command("import-weights", a, b, "--out", out, "--image-size", "64")
    assert result.returncode == 0, result.stderr
    assert "width 4, 2 blocks, reflect padding, 64 x 64 pixels" in result.stdout
    pipe = FaceSketchPipeline.from_pretrained(out)
    assert pipe.sketch_to_photo(picture(0)).size == (77, 64)

    import_weights(c, out=tmp_path / "one")
    assert list(FaceSketchPipeline.from_pretrained(tmp_path / "one").generators) == ["photo_to_sketch"]
    with pytest.raises(WeightsError, match="must have the same architecture"):
        import_weights(a, c, out=tmp_path / "two")
    with pytest.raises(WeightsError, match="already exists"):
        import_weights(a, out=out)
