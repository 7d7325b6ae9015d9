import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from cyclegan.losses import discriminator_loss, generator_loss, paired_loss, translate
from cyclegan.networks import Generator, PatchDiscriminator


@pytest.fixture
def networks() -> tuple[Generator, Generator, PatchDiscriminator, PatchDiscriminator]:
    torch.manual_seed(0)
    return Generator(4, 1), Generator(4, 1), PatchDiscriminator(4), PatchDiscriminator(4)


@pytest.fixture
def pictures() -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.rand(2, 3, 32, 32) * 2 - 1, torch.rand(2, 3, 32, 32) * 2 - 1


def test_the_cycle_loss_alone_reaches_the_first_generator(networks: tuple, pictures: tuple[Tensor, Tensor]) -> None:
    sketch_generator, photo_generator, sketch_discriminator, photo_discriminator = networks
    for generator, part in ((sketch_generator, "cycle_photo"), (photo_generator, "cycle_sketch")):
        translation = translate(sketch_generator, photo_generator, *pictures, identity=False)
        _, parts = generator_loss(sketch_discriminator, photo_discriminator, *pictures, translation)
        generator.zero_grad()
        parts[part].backward()
        assert all(p.grad is not None for p in generator.parameters())
        assert next(generator.parameters()).grad.abs().sum() > 0


def test_the_total_weighs_its_parts(networks: tuple, pictures: tuple[Tensor, Tensor]) -> None:
    sketch_generator, photo_generator, *discriminators = networks
    translation = translate(sketch_generator, photo_generator, *pictures, identity=True)
    total, parts = generator_loss(discriminators[0], discriminators[1], *pictures, translation, 7, 3)
    weights = {"adversarial": 1, "cycle": 7, "identity": 3}
    assert set(parts) == {f"{kind}_{domain}" for kind in weights for domain in ("photo", "sketch")}
    torch.testing.assert_close(total, sum(weights[name.split("_")[0]] * part for name, part in parts.items()))


def test_four_calls_give_what_six_calls_give(networks: tuple, pictures: tuple[Tensor, Tensor]) -> None:
    sketch_generator, photo_generator, *_ = networks
    photo, sketch = pictures
    both = translate(sketch_generator, photo_generator, photo, sketch, identity=True)
    torch.testing.assert_close(both.fake_sketch, sketch_generator(photo))
    torch.testing.assert_close(both.identity_sketch, sketch_generator(sketch))
    torch.testing.assert_close(both.identity_photo, photo_generator(photo))
    torch.testing.assert_close(both.cycled_photo, photo_generator(sketch_generator(photo)))
    torch.testing.assert_close(both.cycled_sketch, sketch_generator(photo_generator(sketch)))


def test_without_identity_nothing_is_computed_for_it(networks: tuple, pictures: tuple[Tensor, Tensor]) -> None:
    sketch_generator, photo_generator, *discriminators = networks
    seen: list[int] = []
    for generator in (sketch_generator, photo_generator):
        generator.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    translation = translate(sketch_generator, photo_generator, *pictures, identity=False)
    assert seen == [2, 2, 2, 2]
    _, parts = generator_loss(discriminators[0], discriminators[1], *pictures, translation)
    assert set(parts) == {"adversarial_sketch", "adversarial_photo", "cycle_photo", "cycle_sketch"}


def test_frozen_discriminators_get_no_gradient_and_generators_none_from_theirs(
    networks: tuple, pictures: tuple[Tensor, Tensor]
) -> None:
    sketch_generator, photo_generator, sketch_discriminator, photo_discriminator = networks
    translation = translate(sketch_generator, photo_generator, *pictures, identity=True)
    for discriminator in (sketch_discriminator, photo_discriminator):
        discriminator.requires_grad_(False)
    total, _ = generator_loss(sketch_discriminator, photo_discriminator, *pictures, translation)
    total.backward()
    assert all(p.grad is None for p in sketch_discriminator.parameters())
    assert all(p.grad is not None for p in sketch_generator.parameters())

    sketch_generator.zero_grad()
    sketch_discriminator.requires_grad_(True)
    fakes = sketch_generator(pictures[0])
    discriminator_loss(sketch_discriminator, pictures[1], fakes)[0].backward()
    assert all(p.grad is None for p in sketch_generator.parameters())
    assert all(p.grad is not None for p in sketch_discriminator.parameters())


def test_the_paired_loss_sees_blur_and_passes_strangers_over() -> None:
    torch.manual_seed(0)
    real = torch.rand(2, 3, 64, 64).round() * 2 - 1
    blurred = avg_pool2d(real, 5, 1, 2)
    both, one, none = torch.tensor([[True, True], [True, False], [False, False]])
    assert paired_loss(real, real, both) == pytest.approx(0, abs=1e-6)
    assert paired_loss(blurred, real, none) == 0
    assert paired_loss(blurred[[0, 0]], real[[0, 0]], one) == pytest.approx(
        paired_loss(blurred[[0, 0]], real[[0, 0]], both) / 2
    )
    difference = (blurred - real).abs().mean()
    assert paired_loss(blurred, real, both) > difference + 0.1


def test_least_squares_targets() -> None:
    """A discriminator that answers the mean of its picture: real pictures of 1 and fakes of 0 cost nothing."""
    real, fake = torch.ones(2, 3, 8, 8), torch.zeros(2, 3, 8, 8)
    total, parts = discriminator_loss(lambda x: x.mean((1, 2, 3)), real, fake)
    assert total == parts["real"] == parts["fake"] == 0
    total, parts = discriminator_loss(lambda x: x.mean((1, 2, 3)), fake, real)
    assert total == parts["real"] == parts["fake"] == 1
