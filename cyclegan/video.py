"""Convert films frame by frame, with their sound. PyAV, the optional extra `video`, does the reading and writing."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from .extras import extra
from .files import atomic
from .images import ImageError, normalise, open_image, resize_to, to_image, to_tensor
from .pipeline import BATCH

if TYPE_CHECKING:
    from av import FFmpegError, Packet, VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

# By ending, what FFmpeg calls the format. It is not left to guess, since some formats are lists of other files to open
FORMATS = {".m4v": "mp4", ".mkv": "matroska", ".mov": "mov", ".mp4": "mp4", ".webm": "webm"}

NOISE = 3 / 127.5  # a still camera's pixels change by less than this, averaged over a square of WINDOW pixels a side
WINDOW = 5
NEW = 0.2  # what a new frame weighs where nothing has changed


class Steady:
    """Holds a film still where its input is still: camera noise would make every stroke dance.

    A result is blended into the one shown before. Where the input has changed by less than `NOISE`, the new one weighs
    `NEW`; from twice that on it replaces the old one.
    """

    def __init__(self) -> None:
        self.seen: Tensor | None = None  # the input, blended alike, so that slow changes add up
        self.shown: Tensor | None = None

    def __call__(self, image: Image.Image, result: Image.Image) -> Image.Image:
        """The next frame and its result, RGB pictures of one size -> what to show."""
        seen, made = (normalise(to_tensor(one)) for one in (image, result))  # (3, H, W)
        if self.seen is None or self.shown is None or self.seen.shape != seen.shape:
            self.seen, self.shown = seen, made
        change = (seen - self.seen).abs().mean(0, keepdim=True)  # (1, H, W)
        change = F.avg_pool2d(change, WINDOW, 1, WINDOW // 2, count_include_pad=False)
        weight = NEW + (1 - NEW) * (change / NOISE - 1).clamp(0, 1)
        self.seen, self.shown = torch.lerp(self.seen, seen, weight), torch.lerp(self.shown, made, weight)
        return to_image(self.shown)


def convert_video(
    source: Path, target: Path, run: Callable[[list[Image.Image]], list[Image.Image]], size: int, quiet: bool
) -> None:
    """Convert a film into one of the same format, with the times of its frames, its sound as it is, and upright.

    Args:
        run: converts pictures, at most `BATCH` at once.
        size: the shorter side of the result in pixels; an odd longer side loses a row.
        quiet: show no progress bar.

    Raises:
        ImageError: PyAV is missing, the film too, or it is damaged or holds no video.
    """
    with extra("video", f"The video {source}", ImageError):
        import av
        from av.codec.context import Flags
    form = FORMATS[source.suffix.lower()]
    try:
        film = av.open(source, format=form)
    except FileNotFoundError:
        raise ImageError(f"{source} does not exist.") from None
    except av.FFmpegError as error:
        raise ImageError(_damaged(source, error)) from None
    with film, atomic(target) as partial, av.open(partial, "w", format=form) as made:
        if not film.streams.video:
            raise ImageError(f"{source} holds no video.")
        video = film.streams.video[0]
        video.thread_type = "AUTO"
        coded = cast("VideoStream", made.add_stream(made.default_video_codec, video.average_rate, {"crf": "18"}))
        coded.codec_context.time_base = video.time_base  # type: ignore[assignment]  # None is for streams not begun
        coded.codec_context.flags |= Flags.frame_duration  # the last frame's too is not guessed
        try:
            sounds = {sound.index: made.add_stream_from_template(sound) for sound in film.streams.audio}
        except ValueError as error:
            raise ImageError(f"The sound of {source} cannot be copied ({error}): save the film as .mkv.") from None
        steady = Steady()
        frames: list[VideoFrame] = []
        packets: list[Packet] = []

        def convert() -> None:
            images = [_upright(frame, video, source, size) for frame in frames]
            for frame, image, result in zip(frames, images, run(images), strict=True):
                shown = av.VideoFrame.from_image(steady(image, result))
                shown.pts, shown.time_base, shown.duration = frame.pts, frame.time_base, frame.duration
                if not coded.codec_context.is_open:
                    coded.width, coded.height, coded.pix_fmt = shown.width, shown.height, "yuv420p"
                made.mux(coded.encode(shown))
                bar.update()
            for packet in packets:  # after a frame, since the sizes must be known when the file begins
                packet.stream = sounds[packet.stream_index]
                made.mux(packet)
            frames.clear()
            packets.clear()

        with tqdm(total=video.frames or None, desc=source.name, unit="frame", disable=quiet) as bar:
            for part in _read(film, video, source):
                if isinstance(part, av.Packet):
                    packets.append(part)
                else:
                    frames.append(part)
                if len(frames) == BATCH:
                    convert()
            if not frames and not coded.codec_context.is_open:
                raise ImageError(f"{source} holds no video.")
            convert()
            made.mux(coded.encode())


def _read(film: "InputContainer", video: "VideoStream", source: Path) -> Iterator["Packet | VideoFrame"]:
    """The frames of a film and the packets of its sound, as they come."""
    import av

    try:
        for packet in film.demux(video, *film.streams.audio):
            if packet.stream is video:
                yield from video.decode(packet)
            elif packet.dts is not None:
                yield packet
    except av.FFmpegError as error:
        raise ImageError(_damaged(source, error)) from None


def _damaged(source: Path, error: "FFmpegError") -> str:
    return f"{source} is cut off, damaged or no {source.suffix[1:]} film ({error.strerror}): save or download it again."


def _upright(frame: "VideoFrame", video: "VideoStream", source: Path, size: int) -> Image.Image:
    """A frame as a player shows it, with sides that are even, as the usual pixel format of videos needs them."""
    image = frame.to_image()
    if video.sample_aspect_ratio:
        image = image.resize((round(image.width * video.sample_aspect_ratio), image.height))
    image = resize_to(open_image(image.rotate(frame.rotation, expand=True), str(source)), size)
    return image.crop((0, 0, image.width // 2 * 2, image.height // 2 * 2))
