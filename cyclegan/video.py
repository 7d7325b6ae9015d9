"""Convert videos frame by frame, with their sound. The optional extra `video` (PyAV) reads and writes them."""

import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor
from tqdm import tqdm

from .extras import extra
from .faces import find_faces
from .files import atomic
from .images import ImageError, normalise, open_image, resize_to, to_image, to_tensor
from .pipeline import BATCH

if TYPE_CHECKING:
    from av import AudioStream, FFmpegError, Packet, VideoFrame
    from av.container import InputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream

# FFmpeg's name of each format. FFmpeg must not guess, since some formats are lists of other files to open
FORMATS = {
    ".3gp": "3gp", ".avi": "avi", ".m4v": "mp4", ".mkv": "matroska", ".mov": "mov", ".mp4": "mp4", ".webm": "webm",
}  # fmt: skip
# Where FFmpeg's own choice is a codec of few sizes, or one that knows no `crf`
CODECS = {"3gp": ("libx264", {"crf": "18"}), "avi": ("mpeg4", {"b": "8M"})}

NOISE = 3 / 127.5  # pixels of a still camera change by less than this, averaged over WINDOW x WINDOW pixels
WINDOW = 5
WIDEST = 8  # of a pixel, in heights
NEW = 0.2  # weight of a new frame where nothing has changed

LOOK = 3  # frames from one look for the face to the next
SLACK = 0.1  # of the square's side, that the face may be away from where it was before the square follows
PACE = 0.1  # of the way that is left, that the square goes with each frame at least; it hurries after a face that runs


class Steady:
    """Holds a video still where its input is still. Otherwise, camera noise makes every stroke dance.

    Each result is blended with the one shown before. Where the input has changed by less than `NOISE`, the new result
    has the weight `NEW`. Where it has changed by at least twice `NOISE`, the new result replaces the old one.
    """

    def __init__(self) -> None:
        self.seen: Tensor | None = None  # the input, blended alike, so that slow changes add up
        self.shown: Tensor | None = None

    def __call__(self, image: Image.Image, result: Image.Image) -> Image.Image:
        """Return the picture to show for the next frame and its result, RGB pictures of equal size."""
        seen, made = (normalise(to_tensor(one)) for one in (image, result))  # (3, H, W)
        if self.seen is None or self.shown is None or self.seen.shape != seen.shape:
            self.seen, self.shown = seen, made
        change = (seen - self.seen).abs().mean(0, keepdim=True)  # (1, H, W)
        change = F.avg_pool2d(change, WINDOW, 1, WINDOW // 2, count_include_pad=False)
        weight = NEW + (1 - NEW) * (change / NOISE - 1).clamp(0, 1)
        self.seen, self.shown = torch.lerp(self.seen, seen, weight), torch.lerp(self.shown, made, weight)
        return to_image(self.shown)


class Follow:
    """Frames the face of a film as a calm camera does: the square stands still until the face has moved, then glides.

    It begins with the largest face and stays with it. Until there is a face, it is the middle square.

    Attributes:
        found: whether there was a face.
    """

    def __init__(self) -> None:
        self.found = False
        self.frames = 0
        self.square = self.aim = np.zeros(3)  # x and y of the centre, and the side, in pixels

    def __call__(self, image: Image.Image, size: int) -> Image.Image:
        """Return the square of the next frame, with a side of `size` pixels."""
        if self.frames % LOOK == 0:
            self._look(image)
        self.frames += 1
        way = self.aim - self.square
        self.square = self.square + min(1, PACE + np.abs(way).max() / self.aim[2]) * way
        side = min(self.square[2], *image.size)
        left, top = (
            min(max(centre - side / 2, 0), length - side)
            for centre, length in zip(self.square[:2], image.size, strict=True)
        )
        box = (left, top, left + side, top + side)
        return image.resize((size, size), Image.Resampling.BICUBIC, box, reducing_gap=3.0)

    def _look(self, image: Image.Image) -> None:
        faces = [np.array(face[:3]) for face in find_faces(image)]
        if faces and self.found:
            seen = min(faces, key=lambda face: float(np.abs(face - self.aim).sum()))
            if np.abs(seen - self.aim).max() > SLACK * self.aim[2]:
                self.aim = seen
        elif faces:
            self.found, self.square, self.aim = True, faces[0], faces[0]
        elif not self.found:
            self.square = self.aim = np.array([image.width / 2, image.height / 2, min(image.size)])


def convert_video(
    source: Path,
    target: Path,
    run: Callable[[list[Image.Image]], list[Image.Image]],
    size: int,
    quiet: bool,
    follow: Follow | None = None,
) -> None:
    """Convert a film into one of the same format, with the times of its frames, its sound as it is, and upright.

    Sound tracks that cannot be copied are left out, and named in the output. A film whose frames change their size
    keeps the shape of the first: later ones are fitted into it.

    Args:
        run: converts pictures, at most `BATCH` at once.
        size: the shorter side of the result in pixels; an odd side loses a row.
        quiet: show no progress bar.
        follow: what frames the face; None converts whole frames.

    Raises:
        ImageError: PyAV is missing, the film too, or it is cut off, damaged or holds no video.
        OSError: the result cannot be written.
    """
    with extra("video", f"The video {source}", ImageError):
        import av
        from av.codec.context import Flags
    form = FORMATS[source.suffix.lower()]
    try:
        with source.open("rb") as file:  # FFmpeg calls what it cannot read invalid
            file.read(1)
        film = av.open(source, format=form)
    except FileNotFoundError:
        raise ImageError(f"{source} does not exist.") from None
    except OSError as error:
        raise ImageError(f"{source} cannot be read: {error.strerror}.") from None
    except av.FFmpegError as error:
        raise ImageError(_damaged(source, error)) from None
    with film, atomic(target) as partial, av.open(partial, "w", format=form) as made:
        if not film.streams.video:
            raise ImageError(f"{source} contains no video.")
        video = film.streams.video[0]
        video.thread_type = "AUTO"
        codec, quality = CODECS.get(form, (made.default_video_codec, {"crf": "18"}))
        coded = cast("VideoStream", made.add_stream(codec, video.average_rate, quality))
        coded.codec_context.time_base = video.time_base  # type: ignore[assignment]  # None is for streams not begun
        coded.codec_context.flags |= Flags.frame_duration  # the last frame's too is not guessed
        sounds: dict[int, AudioStream] = {}
        for sound in film.streams.audio:
            try:
                sounds[sound.index] = made.add_stream_from_template(sound)
            except ValueError:  # a codec that FFmpeg does not know, or that the format does not hold
                tqdm.write(f"{source}: sound track {sound.index} cannot be copied and is left out.", file=sys.stderr)
        steady = Steady()
        frames: list[VideoFrame] = []
        packets: list[Packet] = []
        last = -1

        def convert() -> None:
            nonlocal last
            upright = (_upright(frame, video, source) for frame in frames)
            images = [_even(follow(image, size) if follow else resize_to(image, size)) for image in upright]
            for frame, image, result in zip(frames, images, run(images), strict=True):
                picture = steady(image, result)
                if not coded.codec_context.is_open:
                    coded.width, coded.height, coded.pix_fmt = picture.width, picture.height, "yuv420p"
                shown = av.VideoFrame.from_image(ImageOps.pad(picture, (coded.width, coded.height)))
                last = last + 1 if frame.pts is None else max(frame.pts, last + 1)  # AVI knows only the order
                shown.pts, shown.time_base, shown.duration = last, frame.time_base, frame.duration
                made.mux(coded.encode(shown))
                bar.update()
            for packet in packets:  # after a frame, since the sizes must be known when the file begins
                packet.stream = sounds[packet.stream_index]
                made.mux(packet)
            frames.clear()
            packets.clear()

        try:
            with tqdm(total=video.frames or None, desc=source.name, unit="frame", disable=quiet) as bar:
                for part in _read(film, video, [film.streams[index] for index in sounds], source):
                    if isinstance(part, av.Packet):
                        packets.append(part)
                    else:
                        frames.append(part)
                    if len(frames) == BATCH:
                        convert()
                if not frames and not coded.codec_context.is_open:
                    raise ImageError(f"{source} contains no video.")
                convert()
                made.mux(coded.encode())
        except av.FFmpegError as error:
            if isinstance(error, OSError):
                raise
            raise ImageError(f"{source} cannot be converted: {error.strerror}.") from None


def _read(
    film: "InputContainer", video: "VideoStream", sounds: "list[Stream]", source: Path
) -> Iterator["Packet | VideoFrame"]:
    """The frames of a film and the packets of its sounds, as they come.

    Raises:
        ImageError: it is damaged, or ends before its header says.
    """
    import av

    ends = {video.index: Fraction(0)}  # seconds until which a track was read
    try:
        for packet in film.demux(video, *sounds):
            if packet.pts is not None:
                end = (packet.pts + (packet.duration or 0)) * packet.time_base
                ends[packet.stream_index] = max(ends.get(packet.stream_index, end), end)
            if packet.stream is video:
                yield from video.decode(packet)
            elif packet.dts is not None:
                yield packet
    except av.FFmpegError as error:
        raise ImageError(_damaged(source, error)) from None
    if video.duration and video.time_base:
        read, length = ends[video.index], (video.duration + (video.start_time or 0)) * video.time_base
    elif film.duration and len(sounds) == len(film.streams) - 1:  # the header has the longest track's length alone
        read, length = max(ends.values()), Fraction(film.duration, av.time_base)
    else:
        return
    if read < length * Fraction(95, 100) - Fraction(1, 10):  # whole films, too, differ from their headers a little
        raise ImageError(
            f"{source} is cut off after {float(read):.1f} of {float(length):.1f} seconds. Save or download it again."
        )


def _damaged(source: Path, error: "FFmpegError") -> str:
    if isinstance(error, OSError):
        return f"{source} cannot be read: {error.strerror}."
    return f"{source} is damaged, cut off or not a {source.suffix[1:]} video ({error.strerror}). Get a new copy."


def _upright(frame: "VideoFrame", video: "VideoStream", source: Path) -> Image.Image:
    """Return a frame as a player shows it."""
    image = frame.to_image()
    ratio = video.sample_aspect_ratio
    if ratio and 1 / WIDEST <= ratio <= WIDEST:  # what is beyond is a mistake, or an attack on the memory
        image = image.resize((round(image.width * ratio), image.height))
    return open_image(image.rotate(frame.rotation, expand=True), str(source))


def _even(image: Image.Image) -> Image.Image:
    """The usual pixel format of videos requires even sides."""
    return image.crop((0, 0, image.width // 2 * 2, image.height // 2 * 2))
