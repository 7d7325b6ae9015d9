"""Convert files. Threads read and write in parallel, and `accelerate launch` divides the files among processes."""

import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import chain, count
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import torch
from PIL import Image
from tqdm import tqdm

from .data.sources import DataError, find_images
from .directions import Direction
from .extras import extra, launching
from .faces import LARGEST, Frame, Framing, check_size, frame
from .files import FULL, atomic, readable
from .images import ENDINGS, ImageError, open_image
from .palette import ChoiceError
from .pipeline import BATCH, FaceSketchPipeline
from .video import FORMATS, Follow, convert_video

FRAMED: dict[str, Any] = {"framing": None, "size": None, "prepare": True}  # what is chosen here, if not given
Job = tuple[Path, Path]  # an input, and where its result goes
Run = Callable[[list[Image.Image]], list[Image.Image]]


@dataclass
class Plan:
    """The work to do, the number of results that exist already, and a sentence for each input that is impossible."""

    pictures: list[Job] = field(default_factory=list)
    videos: list[Job] = field(default_factory=list)
    there: int = 0
    problems: list[str] = field(default_factory=list)


@dataclass
class Done:
    """The work of one process: pictures written, seconds taken, and a sentence for each failure."""

    pictures: int
    seconds: float
    failed: list[str]
    faceless: list[str]  # the inputs of which the middle was converted


def convert(
    inputs: tuple[Path, ...],
    direction: Direction,
    out: Path,
    weights: str,
    engine: str = "torch",
    **choices: Any,
) -> int:
    """Convert pictures to PNG files and videos to videos in `out`, and print a summary.

    Args:
        choices: as the pipeline's method of this direction takes them; but if `framing` is not given, it is `face` for
            pictures and `whole` for videos. Of several faces in a picture the second and further get a number:
            `name-2.png`. A video follows one face.

    Returns:
        The exit code: 1 if any input was skipped.

    Raises:
        DataError: nothing was given. ChoiceError: there is no such size, or the release has no such style or colour.
            WeightsError: as in `from_pretrained`. OSError: the results cannot be written.
    """
    if (size := choices.get("size")) is not None:
        try:
            check_size(size)
        except ValueError as error:
            raise ChoiceError(f"--{error}") from None
    if os.environ.get("WORLD_SIZE", "1") != "1":
        return _convert_together(inputs, direction, out, weights, engine, choices)
    plan = make_plan(inputs, out)
    pipe = FaceSketchPipeline.from_pretrained(weights, direction=direction, engine=engine)
    return _report(plan, [_work(pipe, direction, choices, plan.pictures, plan.videos)], out)


def _convert_together(
    inputs: tuple[Path, ...], direction: Direction, out: Path, weights: str, engine: str, choices: dict[str, Any]
) -> int:
    """Run `convert` in one of several processes. Only the first plans: the others might already see its results."""
    with extra("train", "Converting in several processes", DataError):
        from accelerate import PartialState
        from accelerate.utils import broadcast_object_list, gather_object, parse_flag_from_env

    with launching(DataError):
        cpu = parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.cuda.is_available()
        state = PartialState(cpu, timeout=timedelta(days=365))  # however long one process waits for another
    (plan,) = broadcast_object_list([make_plan(inputs, out) if state.is_main_process else Plan()])
    pipe = FaceSketchPipeline.from_pretrained(weights, direction=direction, device=state.device, engine=engine)
    with (
        state.split_between_processes(plan.pictures) as pictures,
        state.split_between_processes(plan.videos) as videos,
    ):
        done = gather_object([_work(pipe, direction, choices, pictures, videos, quiet=not state.is_main_process)])
    status = _report(plan, done, out) if state.is_main_process else any(part.failed for part in done) or plan.problems
    state.wait_for_everyone()  # the launcher stops the others once one has ended with 1
    state.destroy_process_group()
    return 1 if status else 0


def _work(
    pipe: FaceSketchPipeline,
    direction: Direction,
    choices: dict[str, Any],
    pictures: list[Job],
    videos: list[Job],
    quiet: bool = False,
) -> Done:
    framing, size, prepare = (choices.pop(name, given) for name, given in FRAMED.items())
    size = pipe.image_size if size is None else size
    run = partial(getattr(pipe, direction), size="own", **choices)
    run([])  # a style or colour that this release has not is told before anything is read
    start = time.perf_counter()
    failed, faceless = _convert_pictures(partial(run, prepare=prepare), framing or "face", size, pictures, quiet)
    done = Done(len(pictures) - len(failed), time.perf_counter() - start, failed, faceless)
    run = partial(run, prepare=False)  # since a picture that is prepared beside one that is not would flicker
    size = pipe.image_size if size == "own" else size
    for source, target in videos:
        follow = Follow() if framing in ("face", "faces") else None
        try:
            convert_video(source, target, run, size, quiet, follow)
            if follow and not follow.found:
                done.faceless.append(str(source))
        except ImageError as error:
            done.failed.append(str(error))
        except OSError as error:
            done.failed.append(_unwritten(target, error))
    return done


def _unwritten(target: Path, error: OSError) -> str:
    return f"{target} cannot be written: {error.strerror or error}.{' Make room.' if error.errno in FULL else ''}"


def _convert_pictures(
    run: Run, framing: Framing, size: int | Literal["own"], jobs: list[Job], quiet: bool
) -> tuple[list[str], list[str]]:
    """Convert pictures to PNG files; the files that cannot be read, a sentence each, and those without a face.

    One thread at a time uses the generator, which takes all cores or the GPU. The others read and write meanwhile.
    """
    generator = Lock()
    planned = {target for _, target in jobs}
    opened = LARGEST if size == "own" else size if framing == "whole" else 3 * size  # a face is a part of it

    def work(batch: list[Job]) -> tuple[list[str], list[str]]:
        made: list[tuple[Frame, Path]] = []
        failed, faceless = [], []
        for source, target in batch:
            try:
                frames = frame(open_image(source, size=opened), framing, size)
            except ImageError as error:
                failed.append(str(error))
                continue
            numbered = (target.with_stem(f"{target.stem}-{number}") for number in count(2))
            free = (path for path in numbered if path not in planned and not path.exists())
            made += zip(frames, chain([target], free), strict=False)
            faceless += [] if frames[0].found else [str(source)]
        with generator:
            results = run([one.image for one, _ in made])
        for (one, target), result in zip(made, results, strict=True):
            try:
                with atomic(target) as beside:
                    one.turn_back(result).save(beside, "PNG", compress_level=1)  # a third of the time, a tenth larger
            except OSError as error:
                if error.errno in FULL:  # for so little; and there is no room for the others either
                    raise
                failed.append(_unwritten(target, error))
        return failed, faceless

    batches = [jobs[start : start + BATCH] for start in range(0, len(jobs), BATCH)]
    failed: list[str] = []
    faceless: list[str] = []
    with (
        ThreadPoolExecutor((os.cpu_count() or 1) + 1) as threads,
        tqdm(total=len(jobs), unit="picture", disable=quiet or not jobs) as bar,
    ):
        for batch, (unread, without) in zip(batches, threads.map(work, batches), strict=True):
            failed += unread
            faceless += without
            bar.update(len(batch))
    return failed, faceless


def _report(plan: Plan, parts: list[Done], out: Path) -> int:
    problems = plan.problems + [sentence for part in parts for sentence in part.failed]
    written = len(plan.pictures) + len(plan.videos) - sum(len(part.failed) for part in parts)
    pictures, seconds = sum(part.pictures for part in parts), max(part.seconds for part in parts)
    rate = f", {pictures / seconds:.1f} pictures a second" if pictures else ""
    there = f"; {plan.there} existed already and were left alone" if plan.there else ""
    print(f"{written} written to {out}{rate}{there}.")
    if faceless := [name for part in parts for name in part.faceless]:
        names = ", ".join(faceless[:3]) + (" and others" if len(faceless) > 3 else "")
        print(f"No face was found in {len(faceless)} of them, so the middle was converted: {names}.", file=sys.stderr)
    for problem in problems:
        print(f"Skipped: {problem}", file=sys.stderr)
    return 1 if problems else 0


def make_plan(inputs: tuple[Path, ...], out: Path) -> Plan:
    """Where each result goes: the input's name with .png, or, where that is taken, its whole name with .png.

    A video keeps its ending, and gets it twice where the name is taken. The result of a single file may be named: it
    is `out` itself where that has the ending of a result and is no folder.

    No input is ever written over, and no result is converted again: not what lies in `out` inside a given folder, and
    not what lies beside its input. To be known there by its name, it has its input's whole name.

    Raises:
        DataError: there is nothing to do, or `out` is a file. OSError: `out` cannot be made.
    """
    plan = Plan()
    if "\0" in str(out):
        raise DataError(f"--out must be a folder; got {readable(out)}, which holds a NUL.")
    alone = inputs[0] if len(inputs) == 1 and not os.path.isdir(inputs[0]) else None  # noqa: PTH112
    named = alone is not None and out.suffix.lower() == _ending(alone).lower() and not out.is_dir()
    if not named and (out.is_file() or (out.suffix.lower() in (*ENDINGS, *FORMATS) and not out.is_dir())):
        raise DataError(f"--out must be a folder, because each input makes a file; got {out}, which looks like a file.")
    (out.parent if named else out).mkdir(parents=True, exist_ok=True)
    found: list[Job] = []
    passed: list[Path] = []
    for given in inputs:
        if "\0" in str(given):  # which no other error of a path tells apart from a mistake of ours
            plan.problems.append(f"{readable(given)} cannot be read: no path holds a NUL.")
        elif os.path.isdir(given):  # noqa: PTH112, since it may lie in a closed folder, which pathlib raises for
            inside = out.resolve() != given.resolve() and out.resolve().is_relative_to(given.resolve())
            for source in find_images(given, FORMATS, plan.problems, passed):
                if not (inside and source.resolve().is_relative_to(out.resolve())):
                    found.append((source, out / source.relative_to(given)))
        else:
            found.append((given, out if named else out / given.name))
    if passed:
        endings = ", ".join(sorted({file.suffix.lower() or file.name for file in passed}))
        print(f"Skipped, because they are not pictures or videos: {endings}.", file=sys.stderr)
    beside = {source.resolve() for source, place in found if place.resolve() == source.resolve()}
    results = {source.with_name(source.name + _ending(source)) for source in beside}
    found = [(source, place) for source, place in found if source.resolve() not in results]
    taken = {source.resolve() for source, _ in found}
    for source, place in found:
        ending = _ending(source)
        whole = place.with_name(place.name + ending)
        choices = [place] if named else [whole] if source.resolve() in beside else [place.with_suffix(ending), whole]
        for target in choices:
            if target.resolve() not in taken:
                taken.add(target.resolve())
                if os.path.lexists(target):  # False for a name that is too long
                    plan.there += 1
                else:
                    (plan.videos if source.suffix.lower() in FORMATS else plan.pictures).append((source, target))
                break
        else:
            plan.problems.append(f"{source} would overwrite {target}. Choose another --out.")
    if plan == Plan():
        raise DataError(f"Found no pictures or videos in {', '.join(map(str, inputs)) or 'an empty list of inputs'}.")
    return plan


def _ending(source: Path) -> str:
    """The ending of a file's result."""
    return source.suffix if source.suffix.lower() in FORMATS else ".png"
