"""Check a data set before training."""

import os
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm

from ..images import ImageError
from .layouts import DOMAINS, NO_FIGURES, DataSet
from .sources import DataError, Source


def check(data: DataSet) -> tuple[list[str], bool]:
    """Check a data set before training. Return the lines of the report, and whether training is possible."""
    lines, usable = data.notes(), True
    for split in ("train", "test"):
        for domain in DOMAINS:
            try:
                report, readable = _check(data.find(domain, split))
            except DataError as error:
                report, readable = [str(error)], 0
            lines += report
            usable &= readable > 0 or split == "test"
    try:
        data.test_pairs()
    except DataError as error:
        lines.append(f"{NO_FIGURES} {error}")
    if usable:
        lines.append(f"Ready: accelerate launch train_accelerate.py {data.flags()}")
    else:
        lines.append("Not ready: training needs readable photos and readable sketches in the train split.")
    return lines, usable


def _check(source: Source) -> tuple[list[str], int]:
    def examine(index: int) -> tuple[int, int] | str:
        try:
            return source.read(index).size
        except ImageError as error:
            return str(error)

    count = len(source.names)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(tqdm(pool.map(examine, range(count)), source.title, count, unit="picture", leave=False))
    sizes = [result for result in results if not isinstance(result, str)]
    bad = [result for result in results if isinstance(result, str)]
    lines = [f"{source.title}: {len(sizes)} pictures" + (f", {_describe(sizes)}" if sizes else "")]
    if bad:
        lines += [f"  {len(bad)} cannot be read; training uses others instead. Replace or delete them:"]
        lines += [f"    {reason}" for reason in bad]
    return lines, len(sizes)


def _describe(sizes: Iterable[tuple[int, int]]) -> str:
    counts = Counter(sizes)
    (width, height), count = counts.most_common(1)[0]
    if len(counts) == 1:
        return f"all {width} x {height}"
    smallest, largest = min(counts, key=min), max(counts, key=max)
    return f"most often {width} x {height} ({count}), from {smallest[0]} x {smallest[1]} to {largest[0]} x {largest[1]}"
