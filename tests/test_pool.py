import torch
from torch import Tensor

from cyclegan.pool import ImagePool


def fakes(*numbers: int) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float32)[:, None, None, None]


def values(images: Tensor | None) -> list[int]:
    assert images is not None
    return [int(value) for value in images.flatten()]


def test_the_first_fakes_come_straight_back() -> None:
    pool, rng = ImagePool(3), torch.Generator().manual_seed(0)
    assert values(pool.query(fakes(1, 2), rng)) == [1, 2]
    assert values(pool.query(fakes(3), rng)) == [3]
    assert values(pool.images) == [1, 2, 3]


def test_every_fake_is_shown_or_kept() -> None:
    """Nothing is lost or doubled: what goes in is what comes out and what stays."""
    pool, rng = ImagePool(5), torch.Generator().manual_seed(0)
    shown: list[int] = []
    swapped = 0
    for step in range(40):
        batch = list(range(step * 8, step * 8 + 8))
        out = values(pool.query(fakes(*batch), rng))
        swapped += sum(number not in batch for number in out)
        shown += out
    assert len(values(pool.images)) == 5
    # the first 5 were shown and stored both
    assert sorted([*shown, *values(pool.images)]) == sorted([*range(320), *range(5)])
    assert 0.35 < swapped / 315 < 0.55


def test_no_pool_passes_through_and_detaches() -> None:
    images = fakes(1, 2).requires_grad_()
    for size in (0, 50):
        out = ImagePool(size).query(images, torch.Generator())
        assert values(out.detach()) == [1, 2]
        assert not out.requires_grad


def test_the_state_goes_on_where_it_stopped() -> None:
    pool, rng = ImagePool(4), torch.Generator().manual_seed(0)
    pool.query(fakes(1, 2, 3, 4, 5), rng)
    copy = ImagePool(4)
    copy.load_state_dict({name: tensor.clone() for name, tensor in pool.state_dict().items()})
    for seed in range(5):
        batch = fakes(10 * seed + 10, 10 * seed + 11)
        first, second = (p.query(batch, torch.Generator().manual_seed(seed)) for p in (pool, copy))
        assert values(first) == values(second)
    empty = ImagePool(4)
    empty.load_state_dict(ImagePool(4).state_dict())
    assert empty.images is None
