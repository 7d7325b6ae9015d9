"""Films made here, with a sound track, converted and compared packet by packet."""

import errno
import os
import struct
import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from conftest import make_pipeline, picture
from PIL import Image
from test_faces import scene

from cyclegan import video
from cyclegan.convert import convert
from cyclegan.directions import Direction
from cyclegan.faces import Face
from cyclegan.images import ImageError
from cyclegan.video import LOOK, Steady, _damaged, _upright, convert_video

TIMES = [0, 40, 80, 150, 190, 230, 330, 370, 410, 450, 490]  # ms: eleven frames, more than one batch, of varying rate


def make_film(path: Path, sound: bool = True) -> Path:
    """96 x 64: red above black, green at the left; with half a second of sound."""
    colours = np.zeros((64, 96, 3), np.uint8)
    colours[:32] = 200, 40, 40
    colours[:, :20] = 30, 200, 90
    with av.open(path, "w") as film:
        phone = path.suffix == ".3gp"  # FFmpeg's own choices for it have one size and need a library of their own
        video = film.add_stream("libx264" if phone else film.default_video_codec, 25, options={"crf": "10"})
        assert isinstance(video, av.VideoStream)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        audio = "aac" if phone else film.default_audio_codec
        track = film.add_stream(audio, 48000, layout="mono") if sound else None
        for time in TIMES:
            frame = av.VideoFrame.from_ndarray(colours)
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            film.mux(video.encode(frame))
        film.mux(video.encode())
        if isinstance(track, av.AudioStream):
            tone = np.sin(np.arange(24000) / 20).astype(np.float32)[None]
            heard = av.AudioFrame.from_ndarray(tone, "fltp", "mono")
            heard.sample_rate, heard.pts = 48000, 0
            fit = av.AudioResampler(track.format.name, "mono", 48000, track.frame_size)
            for part in [*fit.resample(heard), *fit.resample(None)]:
                film.mux(track.encode(part))
            film.mux(track.encode())
    return path


def sound_of(path: Path) -> list[tuple[float, bytes]]:
    with av.open(path) as film:
        return [(float(p.pts * p.time_base), bytes(p)) for p in film.demux(audio=0) if p.pts is not None]


def frames_of(path: Path) -> list[tuple[float, Image.Image]]:
    with av.open(path) as film:
        return [(frame.time, frame.to_image()) for frame in film.decode(video=0)]


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv", "webm", "avi", "3gp"])
def test_frames_times_and_sound_are_kept(
    tmp_path: Path, release: Path, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = make_film(tmp_path / f"film.{ending}"), tmp_path / "out"
    assert convert((source,), Direction.PHOTO_TO_SKETCH, out, str(release)) == 0
    made = out / f"film.{ending}"
    assert [time for time, _ in frames_of(made)] == pytest.approx([time for time, _ in frames_of(source)], abs=0.001)
    assert len(frames_of(made)) == len(TIMES)
    assert sound_of(made) == sound_of(source)
    assert len(sound_of(made)) > 10
    with av.open(source) as before, av.open(made) as after:
        counted = 40_000 if ending == "avi" else 1000  # whose header counts frames of one length
        assert after.duration == pytest.approx(before.duration, abs=counted), "microseconds"
        assert after.streams.video[0].codec_context.name == before.streams.video[0].codec_context.name
    assert not list(out.glob(".*"))
    assert "11/" in (printed := capsys.readouterr()).err or "11frame" in printed.err
    assert "1 written" in printed.out

    made.write_bytes(b"kept")
    assert convert((source,), Direction.PHOTO_TO_SKETCH, out, str(release)) == 0
    assert made.read_bytes() == b"kept"


def test_the_pictures_are_those_of_the_frames(tmp_path: Path) -> None:
    pipe = make_pipeline()
    source = make_film(tmp_path / "film.mp4", sound=False)
    convert_video(source, tmp_path / "made.mp4", pipe.photo_to_sketch, 32, quiet=True)
    alone = pipe.photo_to_sketch(frames_of(source)[0][1])
    (_, first), *_, (_, last) = frames_of(tmp_path / "made.mp4")
    assert first.size == alone.size == (48, 32)
    for shown in (first, last):
        grey = (np.asarray(one.convert("L").resize((24, 16)), np.float32) for one in (shown, alone))
        assert np.abs(np.subtract(*grey)).mean() < 4


def test_a_film_from_an_upright_phone_is_upright(tmp_path: Path) -> None:
    """Such a film lies on its side, and its header says to turn it clockwise."""
    film = bytearray(make_film(tmp_path / "film.mp4").read_bytes())
    matrix = film.index(b"tkhd") + 44  # of the first track, the video
    assert struct.unpack_from(">9i", film, matrix) == (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    struct.pack_into(">9i", film, matrix, 0, 1 << 16, 0, -1 << 16, 0, 0, 64 << 16, 0, 1 << 30)
    (tmp_path / "film.mp4").write_bytes(film)
    convert_video(tmp_path / "film.mp4", tmp_path / "made.mp4", lambda images: images, 32, quiet=True)
    with av.open(tmp_path / "made.mp4") as made:
        frame = next(made.decode(video=0))
    assert frame.rotation == 0
    image = frame.to_image()
    assert image.size == (32, 48)
    for x, y, colour in ((16, 3, (30, 200, 90)), (28, 30, (200, 40, 40)), (3, 30, (0, 0, 0))):
        assert np.abs(np.subtract(image.getpixel((x, y)), colour)).max() < 25


@pytest.mark.parametrize(("ratio", "width"), [(None, 64), (Fraction(2), 128), (Fraction(10**9), 64), (Fraction(0), 64)])
def test_pixels_that_are_not_square_are_shown_as_a_player_does(ratio: Fraction | None, width: int) -> None:
    frame = SimpleNamespace(to_image=lambda: picture(0, (64, 64)), rotation=0)
    video = SimpleNamespace(sample_aspect_ratio=ratio)
    assert _upright(frame, video, Path("film.mp4")).size == (width, 64)  # type: ignore[arg-type]


def test_a_square_stands_still_until_the_face_has_moved_and_then_glides(monkeypatch: pytest.MonkeyPatch) -> None:
    faces = [Face(300, 200, 100, 0, 1), Face(90, 200, 90, 0, 1)]
    monkeypatch.setattr(video, "find_faces", lambda _: faces)
    follow, image = video.Follow(), Image.new("RGB", (400, 300))
    assert follow(image, 32).size == (32, 32)
    for trembling in (-6, 5, -4, 6):
        faces[0] = faces[0]._replace(x=300 + trembling, side=100 + trembling)
        for _ in range(LOOK):
            follow(image, 32)
        assert follow.square.tolist() == [300, 200, 100], "it trembles"
    faces[:] = [Face(90, 200, 120, 0, 1), Face(250, 200, 100, 0, 1)]  # another one is the largest now
    places = []
    for _ in range(10 * LOOK):
        follow(image, 32)
        places.append(follow.square[0])
    assert max(np.abs(np.diff([300, *places]))) < 35, "it jumps"
    assert places == sorted(places, reverse=True)
    assert places[-1] == pytest.approx(250, abs=2)
    faces.clear()
    follow(image, 32)
    assert follow.found


def test_a_film_of_a_face_is_framed_if_that_is_chosen(
    tmp_path: Path, release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with av.open(tmp_path / "face.mp4", "w") as film:
        stream = film.add_stream("libx264", 25, options={"crf": "10"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for left in (300, 301, 302):
            film.mux(
                stream.encode(av.VideoFrame.from_image(scene(("photos/ben", 200, (left, 180), 0)).resize((640, 360))))
            )
        film.mux(stream.encode())
    make_film(tmp_path / "nobody.mp4")
    films = (tmp_path / "face.mp4", tmp_path / "nobody.mp4")
    assert convert(films, Direction.PHOTO_TO_SKETCH, tmp_path / "out", str(release), framing="face") == 0
    assert f"No face was found in 1 of them, so the middle was converted: {films[1]}" in capsys.readouterr().err
    assert [image.size for name in films for _, image in frames_of(tmp_path / "out" / name.name)[:3]] == [(32, 32)] * 6


def test_a_still_camera_gives_a_still_film_and_movement_shows_at_once() -> None:
    """With noise, whatever the generator makes of it; then another picture."""
    random = np.random.default_rng(0)
    still, other = (np.asarray(picture(seed), np.float32) for seed in (0, 1))
    steady, raw, shown = Steady(), [], []
    for _ in range(20):
        image, result = (
            Image.fromarray((still + random.normal(0, noise, still.shape)).clip(0, 255).astype(np.uint8))
            for noise in (2, 8)
        )
        raw.append(np.asarray(result, np.float32))
        shown.append(np.asarray(steady(image, result), np.float32))
    flicker, before = (np.abs(np.diff(frames[10:], axis=0)).mean() for frames in (shown, raw))
    assert flicker < before / 4
    assert np.abs(np.mean(raw, axis=0) - shown[-1]).mean() < 4
    moved = np.abs(other - still).mean(-1) > 20
    after = np.asarray(steady(picture(1), picture(1)), np.float32)
    assert np.abs(after - other)[moved].mean() < 1


def test_pictures_and_films_of_a_folder_are_mixed_and_bad_films_are_sentences(
    tmp_path: Path, release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    album, out = tmp_path / "album", tmp_path / "out"
    (album / "clips").mkdir(parents=True)
    picture(0).save(album / "a.png")
    film = make_film(album / "clips/b.MP4").read_bytes()
    (album / "cut.mp4").write_bytes(film[: len(film) // 2])
    (album / "clips/list.mp4").write_text("ffconcat version 1.0\nfile b.MP4\n")  # other files, opened without asking
    with av.open(album / "sound.mp4", "w") as only, av.open(album / "clips/b.MP4") as whole:
        copy = only.add_stream_from_template(whole.streams.audio[0])
        for packet in whole.demux(audio=0):
            packet.stream = copy
            if packet.dts is not None:
                only.mux(packet)
    (album / "damaged.mkv").write_bytes(make_film(tmp_path / "whole.mkv").read_bytes()[:300])
    assert convert((album, tmp_path / "gone.mov"), Direction.SKETCH_TO_PHOTO, out, str(release)) == 1
    printed = capsys.readouterr()
    assert "2 written" in printed.out
    for words in ("cut.mp4 is damaged", "list.mp4 is damaged", "sound.mp4 contains no video"):
        assert words in printed.err
    assert "damaged.mkv" in printed.err and "gone.mov does not exist" in printed.err
    assert sorted(str(file.relative_to(out)) for file in out.rglob("*") if file.is_file()) == ["a.png", "clips/b.MP4"]


def test_a_film_is_whole_or_not_there(tmp_path: Path) -> None:
    def run(images: list[Image.Image]) -> list[Image.Image]:
        if len(images) < 8:
            raise OSError("The disk is full")
        return images

    with pytest.raises(OSError, match="full"):
        convert_video(make_film(tmp_path / "film.mp4"), tmp_path / "out/film.mp4", run, 32, quiet=True)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(("ending", "options"), [("mp4", {"movflags": "faststart"}), ("mkv", {}), ("webm", {})])
def test_a_film_that_is_cut_off_is_said_to_be(tmp_path: Path, ending: str, options: dict[str, str]) -> None:
    grain = np.random.default_rng(0).integers(0, 256, (50, 64, 64, 3), np.uint8)
    with av.open(tmp_path / f"whole.{ending}", "w", options=options) as film:
        video = film.add_stream(film.default_video_codec, 25, options={"g": "1"})
        assert isinstance(video, av.VideoStream)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        for frame in grain:
            film.mux(video.encode(av.VideoFrame.from_ndarray(frame)))
        film.mux(video.encode())
    whole = (tmp_path / f"whole.{ending}").read_bytes()
    (tmp_path / f"cut.{ending}").write_bytes(whole[: len(whole) // 2])

    def same(images: list[Image.Image]) -> list[Image.Image]:
        return images

    convert_video(tmp_path / f"whole.{ending}", tmp_path / f"out/whole.{ending}", same, 32, quiet=True)
    with pytest.raises(ImageError, match="is cut off"):
        convert_video(tmp_path / f"cut.{ending}", tmp_path / f"out/cut.{ending}", same, 32, quiet=True)
    assert [file.name for file in (tmp_path / "out").iterdir()] == [f"whole.{ending}"]


def test_a_film_that_changes_its_size_keeps_its_shape(tmp_path: Path) -> None:
    """Three frames of 96 x 64, and three upright ones, which are fitted between black bars."""
    with av.open(tmp_path / "film.mkv", "w") as film:
        stream = film.add_stream("mjpeg", 25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuvj420p"
        for number in range(6):
            encoder = av.CodecContext.create("mjpeg", "w")
            assert isinstance(encoder, av.VideoCodecContext)
            width, height = (96, 64) if number < 3 else (64, 96)
            encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuvj420p"
            encoder.time_base = Fraction(1, 25)
            frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), 200, np.uint8)).reformat(format="yuvj420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            for packet in [*encoder.encode(frame), *encoder.encode()]:
                packet.stream, packet.time_base = stream, Fraction(1, 25)
                film.mux(packet)
    convert_video(tmp_path / "film.mkv", tmp_path / "made.mkv", lambda images: images, 32, quiet=True)
    made = [image for _, image in frames_of(tmp_path / "made.mkv")]
    assert [image.size for image in made] == [(48, 32)] * 6
    first, last = (np.asarray(made[number].convert("L"))[16, [2, 24, 45]] for number in (0, -1))
    assert first.min() > 150
    assert (last > 100).tolist() == [False, True, False]


def test_a_sound_that_cannot_be_copied_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A telephone's spatial sound has a codec that FFmpeg does not know."""
    film = make_film(tmp_path / "film.mov").read_bytes()
    assert b"mp4a" in film and b"esds" in film
    (tmp_path / "film.mov").write_bytes(film.replace(b"mp4a", b"apac").replace(b"esds", b"none"))
    convert_video(tmp_path / "film.mov", tmp_path / "made.mov", lambda images: images, 32, quiet=True)
    with av.open(tmp_path / "made.mov") as made:
        assert [stream.type for stream in made.streams] == ["video"]
    assert "sound track 1 cannot be copied and is left out" in capsys.readouterr().err


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES])
def test_a_film_that_cannot_be_read_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    film = make_film(tmp_path / "film.mp4", sound=False)
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ImageError, match=rf"film\.mp4 cannot be read: {os.strerror(number)}\.$"):
        convert_video(film, tmp_path / "made.mp4", lambda images: images, 32, quiet=True)
    assert "cannot be read: Input" in _damaged(film, av.error.OSError(errno.EIO, "Input/output error"))


def test_frames_without_times_of_their_own_stay_in_order(tmp_path: Path) -> None:
    """As in AVI files of H.264, where FFmpeg guesses."""
    with av.open(tmp_path / "film.avi", "w") as film:
        video = film.add_stream("libx264", 25, options={"bf": "2"})
        assert isinstance(video, av.VideoStream)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        for shade in range(0, 240, 24):
            film.mux(video.encode(av.VideoFrame.from_ndarray(np.full((64, 96, 3), shade, np.uint8))))
        film.mux(video.encode())
    convert_video(tmp_path / "film.avi", tmp_path / "made.avi", lambda images: images, 64, quiet=True)
    shades = [np.asarray(image).mean() for _, image in frames_of(tmp_path / "made.avi")]
    assert len(shades) == 10
    assert shades == sorted(shades)


def test_without_pyav_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ImageError, match=r"pip install 'cyclegan\[video\]'"):
        convert_video(tmp_path / "film.mp4", tmp_path / "made.mp4", lambda images: images, 32, quiet=True)
