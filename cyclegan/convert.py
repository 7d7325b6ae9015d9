"""Convert files: pictures in parallel threads, and under `accelerate launch` shared among its processes."""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from threading import Lock

import torch
from tqdm import tqdm

from .checkpoint import atomic
from .data import DataError, find_images
from .images import ImageError, open_image, resize_to
from .pipeline import BATCH, Direction, FaceSketchPipeline

Job = tuple[Path, Path]  # an input, and where its result goes


@dataclass
class Plan:
    """What is to be done; how many results are there already; what cannot be done, a sentence each."""

    pictures: list[Job] = field(default_factory=list)
    there: int = 0
    problems: list[str] = field(default_factory=list)


def convert(inputs: tuple[Path, ...], direction: Direction, out: Path, weights: str) -> int:
    """Convert pictures, and folders of them, into PNG files in `out`, and print what was done.

    Returns:
        The exit code: 1 if any input was skipped.

    Raises:
        DataError: no picture was given. WeightsError: as in `from_pretrained`. OSError: the results cannot be written.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return _convert_together(inputs, direction, out, weights)
    plan = make_plan(inputs, out)
    pipe = FaceSketchPipeline.from_pretrained(weights, direction=direction)
    start = time.perf_counter()
    failed = _convert_pictures(pipe, direction, plan.pictures)
    return _report(plan, failed, out, time.perf_counter() - start)


def _convert_together(inputs: tuple[Path, ...], direction: Direction, out: Path, weights: str) -> int:
    """`convert` in one of several processes. The first makes the plan, since the others might see its results."""
    from accelerate import PartialState
    from accelerate.utils import broadcast_object_list, gather_object, parse_flag_from_env

    cpu = parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.cuda.is_available()
    state = PartialState(cpu, timeout=timedelta(days=365))  # however long one process waits for another
    (plan,) = broadcast_object_list([make_plan(inputs, out) if state.is_main_process else Plan()])
    pipe = FaceSketchPipeline.from_pretrained(weights, direction=direction, device=state.device)
    start = time.perf_counter()
    with state.split_between_processes(plan.pictures) as pictures:
        failed = gather_object(_convert_pictures(pipe, direction, pictures, quiet=not state.is_main_process))
    status = 1 if plan.problems or failed else 0
    if state.is_main_process:
        _report(plan, failed, out, time.perf_counter() - start)
    state.wait_for_everyone()  # the launcher stops the others once one has ended with 1
    state.destroy_process_group()
    return status


def _convert_pictures(
    pipe: FaceSketchPipeline, direction: Direction, jobs: list[Job], quiet: bool = False
) -> list[str]:
    """Convert pictures to PNG files; the files that cannot be read, a sentence each.

    One thread at a time uses the generator, which takes all cores or the GPU; the others read and write meanwhile.
    """
    run = pipe.photo_to_sketch if direction == "photo_to_sketch" else pipe.sketch_to_photo
    generator = Lock()

    def work(batch: list[Job]) -> list[str]:
        images, targets, failed = [], [], []
        for source, target in batch:
            try:
                images.append(resize_to(open_image(source, size=pipe.image_size), pipe.image_size))
                targets.append(target)
            except ImageError as error:
                failed.append(str(error))
        with generator:
            results = run(images)
        for target, result in zip(targets, results, strict=True):
            with atomic(target) as partial:
                result.save(partial, "PNG", compress_level=1)  # a third of the time, a tenth larger
        return failed

    batches = [jobs[start : start + BATCH] for start in range(0, len(jobs), BATCH)]
    failed: list[str] = []
    with (
        ThreadPoolExecutor((os.cpu_count() or 1) + 1) as threads,
        tqdm(total=len(jobs), unit="picture", disable=quiet) as bar,
    ):
        for batch, sentences in zip(batches, threads.map(work, batches), strict=True):
            failed += sentences
            bar.update(len(batch))
    return failed


def _report(plan: Plan, failed: list[str], out: Path, seconds: float) -> int:
    written = len(plan.pictures) - len(failed)
    rate = f", {written / seconds:.1f} a second" if written else ""
    there = f", {plan.there} already there and left" if plan.there else ""
    print(f"{written} written to {out}{rate}{there}.")
    problems = plan.problems + failed
    for problem in problems:
        print(f"Skipped: {problem}", file=sys.stderr)
    return 1 if problems else 0


def make_plan(inputs: tuple[Path, ...], out: Path) -> Plan:
    """Where each picture goes: its name with .png, or, where that is taken, its whole name with .png.

    No input is ever written over, and what lies in `out` inside a given folder is not converted again.

    Raises:
        DataError: there is nothing to do.
    """
    plan = Plan()
    found = [
        (source, out / (source.relative_to(given) if given.is_dir() else source.name))
        for given in inputs
        for source in (find_images(given) if given.is_dir() else [given])
        if out == given or out not in source.parents
    ]
    taken = {source.resolve() for source, _ in found}
    for source, place in found:
        for target in (place.with_suffix(".png"), place.with_name(f"{place.name}.png")):
            if target.resolve() not in taken:
                taken.add(target.resolve())
                if target.exists():
                    plan.there += 1
                else:
                    plan.pictures.append((source, target))
                break
        else:
            plan.problems.append(f"{source} would overwrite {target}: give another --out.")
    if plan == Plan():
        raise DataError(
            f"No pictures in {', '.join(map(str, inputs)) or 'no input'}: name pictures or folders of them."
        )
    return plan
