import shutil
from pathlib import Path

import pytest
import torch
from conftest import picture, run
from torch import Tensor

from cyclegan.augmentation import crop_and_flip
from cyclegan.data import DataError, UnpairedBatches, cache_size, find_images, load_domain
from cyclegan.images import normalise


def numbered(count: int, size: int = 36) -> Tensor:
    """Pictures that are all of one value, their number."""
    return torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(count, 3, size, size).contiguous()


def test_the_decoded_cache_has_room_to_crop() -> None:
    assert [cache_size(size) for size in (64, 128, 256)] == [72, 143, 286]


def test_folders_are_searched_and_damaged_files_named(tmp_path: Path) -> None:
    picture(0).save(tmp_path / "b.jpg")
    (tmp_path / "deep/er").mkdir(parents=True)
    picture(1, mode="L").save(tmp_path / "deep/er/a.webp")
    (tmp_path / ".hidden").mkdir()
    picture(2).save(tmp_path / ".hidden/c.png")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    assert [file.name for file in find_images(tmp_path)] == ["b.jpg", "broken.png", "a.webp"]
    domain = load_domain(tmp_path, 36)
    assert domain.images.shape == (2, 3, 36, 36)
    assert domain.images.dtype == torch.uint8
    assert len(domain.skipped) == 1
    assert "broken.png" in domain.skipped[0]
    mapped = load_domain(tmp_path, 36, memory_limit=1000)
    assert torch.equal(mapped.images, domain.images)


@pytest.mark.parametrize("problem", ["missing", "empty", "unreadable"])
def test_a_folder_without_pictures_is_an_error_that_names_it(tmp_path: Path, problem: str) -> None:
    folder = tmp_path / "photos"
    if problem != "missing":
        folder.mkdir()
    if problem == "unreadable":
        (folder / "a.png").write_bytes(b"?")
    with pytest.raises(DataError, match="photos"):
        load_domain(folder, 36)


def test_every_picture_comes_once_a_pass_and_the_domains_are_independent() -> None:
    batches = UnpairedBatches(numbered(12), numbered(8), 32, 4, seed=0)
    assert len(batches) == 3
    photos = [index for step in range(3) for index in batches.indices(step)[0].tolist()]
    sketches = [index for step in range(2) for index in batches.indices(step)[1].tolist()]
    assert sorted(photos) == list(range(12))
    assert sorted(sketches) == list(range(8))
    assert photos[:8] != sketches
    later = [index for step in range(3, 6) for index in batches.indices(step)[0].tolist()]
    assert sorted(later) == list(range(12))
    assert later != photos


def test_a_batch_larger_than_the_data_set_is_full() -> None:
    batches = UnpairedBatches(numbered(3), numbered(2), 32, 8, seed=0)
    assert len(batches) == 1
    assert batches.load(5, slice(0, 8))[1].shape == (8, 3, 32, 32)


def test_a_batch_is_a_function_of_its_step_however_it_is_shared() -> None:
    images = torch.randint(0, 256, (9, 3, 36, 36), dtype=torch.uint8)
    batches = UnpairedBatches(images, images.flip(0), 32, 6, seed=0)
    whole = batches.load(4, slice(0, 6))
    batches.load(9, slice(0, 6))
    halves = [UnpairedBatches(images, images.flip(0), 32, 6, seed=0).load(4, slice(a, a + 3)) for a in (0, 3)]
    for domain in (0, 1):
        assert torch.equal(whole[domain], torch.cat([half[domain] for half in halves]))
    other = UnpairedBatches(images, images.flip(0), 32, 6, seed=1).load(4, slice(0, 6))
    assert not torch.equal(whole[0], other[0])


def test_crops_and_flips_are_exact() -> None:
    images = torch.arange(2 * 3 * 8 * 8).view(2, 3, 8, 8)
    corners, flips = torch.tensor([[1, 2], [0, 3]]), torch.tensor([False, True])
    cut = crop_and_flip(images, corners, flips, 5)
    assert torch.equal(cut[0], images[0, :, 1:6, 2:7])
    assert torch.equal(cut[1], images[1, :, 0:5, 3:8].flip(-1))


def test_augmentation_reaches_every_corner_and_both_sides() -> None:
    ramp = torch.arange(34, dtype=torch.uint8).expand(1, 3, 34, 34).contiguous()
    batches = UnpairedBatches(ramp, ramp, 32, 64, seed=0)
    photo = batches.load(0, slice(0, 64)).photo
    left = ((photo[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()
    assert set(left) == {0, 1, 2, 31, 32, 33}
    assert torch.equal(photo[0, 0, 0], normalise(ramp)[0, 0, 0, left[0] :][:32]) or left[0] > 2


def test_check_data_reports_and_advises(dataset: Path, tmp_path: Path) -> None:
    good = run("-m", "cyclegan", "check-data", dataset)
    assert good.returncode == 0, good.stderr
    assert "photos: 7 pictures, all 48 x 40" in good.stdout
    assert "Ready: accelerate launch" in good.stdout

    shutil.copytree(dataset, tmp_path / "data")
    (tmp_path / "data/train/photos/3.png").write_bytes(b"?")
    shutil.rmtree(tmp_path / "data/train/sketches")
    bad = run("-m", "cyclegan", "check-data", tmp_path / "data")
    assert bad.returncode == 1
    assert "3.png is not a picture" in bad.stdout
    assert "train/sketches is missing" in bad.stdout
    assert "Not ready" in bad.stdout
    assert "Traceback" not in bad.stdout + bad.stderr
