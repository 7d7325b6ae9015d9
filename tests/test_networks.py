import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate
from torch.utils.flop_counter import FlopCounterMode

from cyclegan.networks import Generator, PatchDiscriminator


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_parameter_counts_are_those_of_the_reference() -> None:
    assert parameters(Generator()) == 11_378_179
    assert parameters(Generator(padding="zero", upsample="resize")) == 11_378_179
    assert parameters(PatchDiscriminator()) == 2_764_737


@pytest.mark.parametrize("padding", ["reflect", "zero"])
@pytest.mark.parametrize("upsample", ["transpose", "resize"])
@pytest.mark.parametrize("compact", [False, True])
def test_generator_keeps_the_shape_and_range(padding: str, upsample: str, compact: bool) -> None:
    generator = Generator(4, 2, padding, upsample, compact)  # type: ignore[arg-type]
    assert generator.multiple == (8 if compact else 4)
    for height, width in ((2, 2), (8, 5)):
        size = height * generator.multiple, width * generator.multiple
        image = generator(torch.rand(2, 3, *size) * 2 - 1)
        assert image.shape == (2, 3, *size)
        assert image.abs().max() <= 1


def test_a_compact_generator_takes_a_quarter_of_the_work_and_has_skips() -> None:
    def work(generator: Generator, image: torch.Tensor) -> int:
        with FlopCounterMode(display=False) as counter:
            generator(image)
        return counter.get_total_flops()

    image = torch.rand(1, 3, 64, 64)
    compact = Generator(32, upsample="resize", compact=True)
    assert work(compact, image) < work(Generator(32, upsample="resize"), image) / 4
    for name in ("up1", "up2"):  # without what is up-sampled, the picture still passes
        compact.layers[name].register_forward_hook(lambda module, inputs, output: torch.zeros_like(output))
    assert compact(image).std() > 0


def test_only_a_compact_generator_sees_how_bright_a_picture_is() -> None:
    """The norm after the paper's first layer takes the mean away."""
    dark = torch.rand(1, 3, 32, 32) - 1
    for compact in (False, True):
        generator = Generator(4, 1, compact=compact)
        assert torch.allclose(generator(dark), generator(dark + 0.5), atol=1e-4) is not compact


@pytest.mark.parametrize("compact", [False, True])
def test_a_large_picture_takes_its_forms_from_its_half(compact: bool) -> None:
    generator = Generator(4, 2, upsample="resize", compact=compact).eval()
    for weight in generator.parameters():
        nn.init.normal_(weight, 0, 0.1)
    picture = torch.rand(2, 3, 64, 48) * 2 - 1
    half = generator(avg_pool2d(picture, 2))
    seen: list[Tensor] = []
    generator.layers["block2"].register_forward_hook(lambda _, inputs, output: seen.append(output))
    made = generator(picture, large=True)
    sides = [tuple(one.shape[2:]) for one in seen]
    assert sides == ([(4, 3)] if compact else [(8, 6), (16, 12)])
    assert made.shape == picture.shape
    assert made.abs().max() <= 1
    forms, before, wanted = (avg_pool2d(one, cell) for one, cell in ((made, 4), (generator(picture), 4), (half, 2)))
    assert (forms - wanted).abs().mean() < 0.7 * (before - wanted).abs().mean()
    assert (made - interpolate(half, scale_factor=2)).abs().mean() > 0.05  # and its detail from itself


def test_a_wrong_choice_is_named() -> None:
    with pytest.raises(ValueError, match="'mirror'"):
        Generator(4, 1, padding="mirror")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'nearest'"):
        Generator(4, 1, upsample="nearest")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="width=0"):
        Generator(0)


def test_discriminator_sees_70_pixels() -> None:
    """The gradient of one score reaches a patch of exactly 70 x 70 (without the norms, which see everything)."""
    layers = [layer for layer in PatchDiscriminator(4).layers if not isinstance(layer, nn.InstanceNorm2d)]
    image = torch.randn(1, 3, 256, 256, requires_grad=True)
    scores = nn.Sequential(*layers)(image)
    assert scores.shape == (1, 1, 30, 30)
    (gradient,) = torch.autograd.grad(scores[0, 0, 15, 15], image)
    seen = gradient.abs().sum((0, 1)) > 0
    assert int(seen.any(0).sum()) == int(seen.any(1).sum()) == 70


def test_weights_are_drawn_from_a_narrow_normal() -> None:
    for network in (Generator(), PatchDiscriminator()):
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                assert not parameter.any()
            else:
                assert parameter.mean().abs() < 0.002
                assert 0.018 < parameter.std() < 0.022


def test_train_and_eval_and_batching_change_nothing() -> None:
    generator = Generator(4, 2)
    images = torch.rand(3, 3, 32, 32) * 2 - 1
    together = generator.train()(images)
    alone = torch.cat([generator.eval()(image[None]) for image in images])
    torch.testing.assert_close(together, alone)
