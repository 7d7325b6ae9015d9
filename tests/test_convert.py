"""Folders of pictures, converted by threads and by processes."""

import errno
import os
import re
import resource
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, command, picture, run
from PIL import Image

import cyclegan.convert
from cyclegan import FaceSketchPipeline, files, images
from cyclegan.convert import convert, make_plan
from cyclegan.data.sources import DataError
from cyclegan.directions import Direction

FOUND = os.environ | {"PYTHONPATH": str(ROOT)}  # so that a script elsewhere finds the package


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Twenty pictures of two shapes: three batches."""
    folder = tmp_path / "album"
    folder.mkdir()
    for number in range(20):
        picture(number, (40, 48) if number % 3 else (60, 44)).save(folder / f"{number:02d}.png")
    return folder


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.rglob("*") if file.is_file())


def test_each_result_has_the_name_of_its_input(
    album: Path, tmp_path: Path, release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert convert((album,), Direction.PHOTO_TO_SKETCH, out, str(release), framing="whole") == 0
    assert "20 written" in (printed := capsys.readouterr().out)
    assert float(printed.split()[-4]) > 0, "pictures a second"
    pipe = FaceSketchPipeline.from_pretrained(release)
    for file in album.iterdir():
        alone = np.asarray(pipe.photo_to_sketch(Image.open(file)), np.int16)
        assert abs(np.asarray(Image.open(out / file.name)) - alone).max() <= 1
    assert names(out) == names(album)


def test_it_reads_and_writes_while_the_generator_works(
    album: Path, tmp_path: Path, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The generator waits in its second batch until the first one is written and the third one read."""
    read, written = Event(), Event()
    opened, saved, generated = [], [], []
    real_run = FaceSketchPipeline.photo_to_sketch

    def open_image(*arguments: object, **options: object) -> Image.Image:
        opened.append(arguments)
        if len(opened) == 20:
            read.set()
        return images.open_image(*arguments, **options)  # type: ignore[arg-type]

    def atomic(target: Path) -> object:
        saved.append(target)
        if len(saved) == 4:
            written.set()
        return files.atomic(target)

    def photo_to_sketch(self: FaceSketchPipeline, batch: list[Image.Image], **options: Any) -> list[Image.Image]:
        if not batch:  # asks whether the choices can be had
            return []
        generated.append(batch)
        if len(generated) == 2:
            assert read.wait(60), "no one reads meanwhile"
            assert written.wait(60), "no one writes meanwhile"
        return real_run(self, batch, **options)

    monkeypatch.setattr(cyclegan.convert, "open_image", open_image)
    monkeypatch.setattr(cyclegan.convert, "atomic", atomic)
    monkeypatch.setattr(FaceSketchPipeline, "photo_to_sketch", photo_to_sketch)
    assert convert((album,), Direction.PHOTO_TO_SKETCH, tmp_path / "out", str(release)) == 0
    assert len(saved) == 20


EACH_PROCESS = """
import os, runpy, sys, time
from pathlib import Path
import cyclegan.convert
atomic = cyclegan.convert.atomic
def atomic_and_tell(target):
    with (Path(__file__).parent / f"rank-{os.environ['RANK']}").open("a") as log:
        print(target.name, file=log)
    time.sleep(0.2 * int(os.environ["RANK"]))
    return atomic(target)
cyclegan.convert.atomic = atomic_and_tell
runpy.run_module("cyclegan", run_name="__main__", alter_sys=True)
"""


def test_two_processes_convert_every_file_once(album: Path, tmp_path: Path, release: Path) -> None:
    """The first process skips a file and is done first, and the launcher must not stop the second for it.

    They write beside the inputs, where a process that looks late would find the results of the other.
    """
    (album / "00.jpg").write_bytes(b"no picture")
    pictures = names(album)
    script = tmp_path / "each_process.py"
    script.write_text(EACH_PROCESS)
    launch = ("-m", "torch.distributed.run", "--nproc-per-node", "2", script)
    flags = ("convert", album, tmp_path / "gone.png", "--to", "sketch", "--out", album, "--weights", release)
    result = run(*launch, *flags, env=FOUND)
    assert result.returncode == 1
    assert result.stdout.count("20 written") == result.stdout.count("written") == 1
    assert result.stderr.count("Skipped: ") == 2
    assert "00.jpg is not a picture" in result.stderr and "gone.png does not exist" in result.stderr
    first, second = ((tmp_path / f"rank-{rank}").read_text().split() for rank in (0, 1))
    assert len(first) == len(second) == 10
    assert sorted(first + second) == [f"{number:02d}.png.png" for number in range(20)]
    assert names(album) == sorted(pictures + first + second)


def test_what_cannot_be_written_is_a_sentence_each_and_nothing_is_half_written(tmp_path: Path, release: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for number in range(20):
        Image.fromarray(noise).save(tmp_path / f"{number}.png")
    result = run(
        "-m", "cyclegan", "convert", tmp_path, "--to", "sketch", "--out", tmp_path / "out", "--weights", release,
        env=FOUND, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
    )  # fmt: skip
    assert result.returncode == 1
    assert result.stderr.count("cannot be written: File too large.") == 20
    assert "ake room" not in result.stderr
    assert "Traceback" not in result.stderr
    assert not names(tmp_path / "out")


def test_a_full_disk_ends_the_run(album: Path, tmp_path: Path, release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = files._beside

    def full(target: Path) -> Path:
        path = free(target)
        path.symlink_to("/dev/full")
        return path

    monkeypatch.setattr(files, "_beside", full)
    told = command("convert", album, "--to", "sketch", "--out", tmp_path / "out", "--weights", release)
    assert told.returncode == 1
    assert re.search(rf"{tmp_path}/out/\d\d\.png: No space left on device\. Make room or choose", told.stderr)
    assert not [*(tmp_path / "out").iterdir()]


def test_a_film_that_does_not_fit_keeps_no_other_from_being_converted(
    tmp_path: Path, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def only_small(source: Path, target: Path, *_: Any) -> None:
        if source.name == "large.mp4":
            raise OSError(errno.ENOSPC, "No space left on device")
        target.touch()

    monkeypatch.setattr(cyclegan.convert, "convert_video", only_small)
    for name in ("large.mp4", "small.mp4"):
        (tmp_path / name).touch()
    told = command("convert", tmp_path, "--to", "sketch", "--out", tmp_path / "out", "--weights", release)
    assert f"{tmp_path}/out/large.mp4 cannot be written: No space left on device. Make room." in told.stderr
    assert (told.returncode, names(tmp_path / "out")) == (1, ["small.mp4"])


def test_a_path_that_cannot_be_looked_at_keeps_no_other_from_being_converted(
    album: Path, tmp_path: Path, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a closed folder, here by hand since root may open any; and one that is no path."""
    look = os.stat

    def refuse(path: Any, *arguments: Any, **options: Any) -> os.stat_result:
        if "closed" in str(path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return look(path, *arguments, **options)

    def refuse_to_read(path: Path) -> bytes:
        refuse(path)
        return read(path)

    read = Path.read_bytes
    monkeypatch.setattr(os, "stat", refuse)
    monkeypatch.setattr(Path, "read_bytes", refuse_to_read)
    flags = ("--to", "sketch", "--out", tmp_path / "out", "--weights", release)
    told = command("convert", tmp_path / "closed/a.png", tmp_path / "x\0y.png", album / "00.png", *flags)
    assert "closed/a.png cannot be read: Permission denied." in told.stderr
    assert "x\\0y.png cannot be read: no path holds a NUL." in told.stderr
    assert (told.returncode, names(tmp_path / "out")) == (1, ["00.png"])
    told = command("convert", album, *flags[:2], "--out", tmp_path / "x\0y")
    assert "--out must be a folder; got" in told.stderr


def plan_and_do(*inputs: Path, out: Path) -> list[str]:
    """What a run would write, put there."""
    plan = make_plan(inputs, out)
    assert not plan.problems
    for source, target in plan.pictures + plan.videos:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    return sorted(str(target.relative_to(out.parent)) for _, target in plan.pictures + plan.videos)


def test_results_are_never_converted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for way, (given, out) in {
        "a folder inside, one path relative": ("{}", tmp_path / "{}/sketches"),
        "a folder inside, by way of another": ("{}/../{}", Path("{}/sub/../sketches")),
        "a folder inside, by a link": ("link-{}", Path("{}/sketches")),
        "the folder itself": ("{}", Path("{}")),
        "the folder itself, by a link": ("{}", Path("link-{}")),
    }.items():
        name = way.replace(" ", "_")
        (tmp_path / name / "sub").mkdir(parents=True)
        for file in ("a.png", "a.jpg", "sub/b.jpg", "c.mp4"):
            (tmp_path / name / file).write_text(file)
        (tmp_path / f"link-{name}").symlink_to(name)
        folder, into = Path(given.format(name, name)), Path(str(out).format(name))
        assert len(plan_and_do(folder, out=into)) == 4, way
        for _ in range(2):
            plan = make_plan((folder,), into)
            assert (plan.pictures, plan.videos, plan.there) == ([], [], 4), way
        for file in ("a.png", "a.jpg", "sub/b.jpg", "c.mp4"):
            assert (tmp_path / name / file).read_text() == file


def test_the_result_of_one_file_may_be_named(tmp_path: Path) -> None:
    picture(0).save(tmp_path / "face.jpg")
    assert plan_and_do(tmp_path / "face.jpg", out=tmp_path / "new/sketch.PNG") == ["sketch.PNG"]
    assert make_plan((tmp_path / "face.jpg",), tmp_path / "new/sketch.PNG").there == 1
    assert make_plan((tmp_path / "new/sketch.PNG",), tmp_path / "new/sketch.PNG").problems
    (tmp_path / "notes").touch()
    for out in (tmp_path / "notes", tmp_path / "sketch.jpg", tmp_path / "film.mp4"):
        with pytest.raises(DataError, match=f"{out.name}, which looks like a file"):
            make_plan((tmp_path / "face.jpg",), out)
    with pytest.raises(DataError, match="looks like a file"):
        make_plan((tmp_path,), tmp_path / "sketch.png")


def test_a_long_name_does_not_end_the_album(album: Path, tmp_path: Path, release: Path) -> None:
    picture(0).save(album / ("あ" * 83 + ".png"))
    picture(0).save(album / "x.bmp")
    (album / "x.bmp").rename(album / ("あ" * 83 + "a.im"))  # no ending of a picture
    picture(0).save(album / ("い" * 83 + ".jpg"))
    assert convert((album,), Direction.PHOTO_TO_SKETCH, tmp_path / "out", str(release)) == 0
    assert len(names(tmp_path / "out")) == 22
    picture(0).save(album / ("い" * 83 + ".png"))  # whose twin's whole name with .png is too long
    assert convert((album,), Direction.PHOTO_TO_SKETCH, tmp_path / "out", str(release)) == 1


def test_files_that_are_no_pictures_are_named_by_their_endings(
    album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("clip.wmv", "b.MPG", "letter.pdf", ".DS_Store"):
        (album / name).touch()
    (tmp_path / "linked").mkdir()
    picture(0).save(tmp_path / "linked/face.png")
    (album / "link").symlink_to(tmp_path / "linked")
    (album / "loop").symlink_to(album)
    plan = make_plan((album,), tmp_path / "out")
    assert (len(plan.pictures), plan.problems) == (21, [])
    assert "not pictures or videos: .mpg, .pdf, .wmv.\n" in capsys.readouterr().err
