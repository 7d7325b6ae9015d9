import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from cyclegan.losses import (
    Conditions,
    Translation,
    discriminator_loss,
    generator_loss,
    likeness_loss,
    made_photos,
    paired_loss,
    palette_loss,
    perceptual_loss,
    translate,
)
from cyclegan.networks import Features, Generator, PatchDiscriminator
from cyclegan.palette import PALETTE_SIZE, make_palette, search_places


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


def test_every_generator_call_is_told_its_own_condition() -> None:
    """Generators that paint all of a picture in the first number of their condition."""
    seen: list[list[float]] = []

    def network(images: Tensor, condition: Tensor) -> Tensor:
        seen.append(condition[:, 0].tolist())
        return images

    one = torch.ones(1, 1)
    pictures = torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8)
    translate(network, network, *pictures, identity=True, conditions=Conditions(one, 2 * one, 3 * one, 4 * one))
    assert seen == [[1, 2], [3, 4], [4], [2]]


def test_the_perceptual_loss_sees_blur_and_counts_partners() -> None:
    torch.manual_seed(0)
    features, real = Features(), torch.rand(2, 3, 32, 32).round() * 2 - 1
    blurred = avg_pool2d(real, 5, 1, 2)
    sharp = Translation(real, real, real, real, None, None)
    soft = Translation(real, blurred, blurred, real, None, None)
    both, one, none = torch.tensor([[True, True], [True, False], [False, False]])

    def perceived(translation: Translation, paired: Tensor | None) -> Tensor:
        made, rows = made_photos(translation, paired)
        return perceptual_loss(features, made, real, rows)

    assert perceived(sharp, both) == 0
    cycled = perceived(soft, None)
    assert cycled > 0
    torch.testing.assert_close(perceived(soft, none), cycled)
    torch.testing.assert_close(perceived(soft, both), 2 * cycled)
    assert cycled < perceived(soft, one) < 2 * cycled
    assert not any(parameter.requires_grad for parameter in features.parameters())


def test_the_likeness_loss_compares_directions_and_counts_partners() -> None:
    def describe(faces: Tensor) -> Tensor:
        return faces.mean((2, 3))[:, :2]  # red and green

    colours = torch.tensor([[0.5, 0.0, 0.0], [0.0, 0.5, 0.0], [0.1, 0.0, 0.0]])
    red, green, dark_red = colours[:, None, :, None, None].expand(-1, 2, -1, 32, 32)
    both, one, none = torch.tensor([[True, True], [True, False], [False, False]])

    def unlike(fake: Tensor, cycled: Tensor, paired: Tensor | None) -> float:
        made, rows = made_photos(Translation(red, fake, cycled, red, None, None), paired)
        return likeness_loss(describe, made, red, rows).item()

    assert unlike(green, dark_red, none) == 0
    assert unlike(green, dark_red, one) == 0.5
    assert unlike(red, green, both) == unlike(red, green, None) == 1


def test_the_palette_loss_is_the_distance_of_the_colours_that_are_given_and_seen() -> None:
    fake, places = torch.full((1, 3, 64, 64), 0.5, requires_grad=True), search_places(64)
    asked = make_palette(skin="#ffffff")  # 1 in [-1, 1]
    loss = palette_loss(fake, asked, places)
    assert loss.item() == pytest.approx(0.5 / 3)  # one of three parts
    loss.backward()
    assert fake.grad is not None and fake.grad[0, 0][places[0, 0] > 0].max() < 0, "brighter cheeks cost less"
    assert palette_loss(fake, make_palette(), places) == 0
    assert palette_loss(fake, asked, torch.zeros_like(places)) == 0
    assert make_palette().shape == (1, 3, PALETTE_SIZE // 3)
