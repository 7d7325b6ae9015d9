"""Compare two releases without knowing which is which.

    python -m benchmarks.blind make photosandsketches/test embedded runs/faces/latest blind
    python -m benchmarks.blind count blind/choices.json

`make` converts pictures with both releases, in turn photos and sketches, and lays the results side by side in random
order: one PNG file for each pair, and index.html, which shows them all and saves the choices as choices.json. The order
is in key.json: do not look. `count` says how often the new release was preferred.
"""

import json
import math
import random
from pathlib import Path
from typing import Literal

import tyro
from PIL import Image

from cyclegan import FaceSketchPipeline
from cyclegan.data.names import find_pairs
from cyclegan.images import crop_square

Choice = Literal["left", "right", "neither"]
GAP = 8  # pixels between pictures
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Which is better?</title>
<style>
body { font: 16px sans-serif; margin: 1em } img { max-width: 100%; display: block }
li { margin: 0 0 2em } label { margin-right: 1em }
</style><h1>Which is better?</h1>
<p>Each row shows the given picture and two results. Choose one, then save the choices beside this page.</p>
<form><ol>ROWS</ol><button>Save the choices</button></form>
<script>
document.querySelector("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = JSON.stringify(Object.fromEntries(new FormData(event.target)), null, 1);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], {type: "application/json"}));
  link.download = "choices.json";
  link.click();
});
</script></html>
"""


def make(
    data: Path, old: str, new: str, out: Path, /, *, pairs: int = 40, size: int = 256, seed: int | None = None
) -> None:
    """Convert the pictures and hide the order.

    Args:
        data: A folder with `photos` and `sketches`.
        old: A release: a folder, a repository on the Hub, or `embedded`.
        new: Another one.
        out: Folder for the pictures and the page; it must not exist, so that no choices get lost.
        pairs: Pictures to convert, half of them photos.
        size: Side of the pictures in pixels.
        seed: Which pictures, and their order. Not given: another one each time.
    """
    rng = random.Random(seed)
    out.mkdir(parents=True)
    files = find_pairs(data / "photos", data / "sketches")
    chosen = rng.sample(files, min(pairs, len(files)))
    pipes = {
        name: FaceSketchPipeline.from_pretrained(*[] if source == "embedded" else [source])
        for name, source in (("old", old), ("new", new))
    }
    key, rows = {}, []
    for number, (photo, sketch) in enumerate(chosen, 1):
        direction, file = ("photo_to_sketch", photo) if number % 2 else ("sketch_to_photo", sketch)
        with Image.open(file) as opened:
            given = crop_square(opened.convert("RGB"), size)
        order = rng.sample(["old", "new"], 2)
        shown = [given, *(getattr(pipes[name], direction)(given, size=size) for name in order)]
        row = Image.new("RGB", (3 * size + 2 * GAP, size), "white")
        for column, picture in enumerate(shown):
            row.paste(picture, (column * (size + GAP), 0))
        row.save(out / f"{number:02}.png")
        key[str(number)] = {"left": order[0], "right": order[1], "direction": direction, "file": file.name}
        options = "".join(
            f'<label><input type="radio" name="{number}" value="{value}" required> {value}</label>'
            for value in ("left", "right", "neither")
        )
        rows.append(f'<li><img src="{number:02}.png" alt="given, left, right">{options}</li>')
    (out / "key.json").write_text(json.dumps({"old": old, "new": new, "rows": key}, indent=1))
    (out / "index.html").write_text(PAGE.replace("ROWS", "\n".join(rows)))
    print(f"{len(chosen)} pairs. Open {out / 'index.html'}, or look at the PNG files.")


def count(choices: Path, /) -> None:
    """Say which release was preferred, and how likely that is by chance.

    Args:
        choices: The file that the page saved, beside key.json: {"1": "left", "2": "neither", ...}.
    """
    key = json.loads((choices.parent / "key.json").read_text())
    given: dict[str, Choice] = json.loads(choices.read_text())
    for direction in ("photo_to_sketch", "sketch_to_photo", None):
        preferred = {"old": 0, "new": 0, "neither": 0}
        for number, row in key["rows"].items():
            if number in given and direction in (None, row["direction"]):
                preferred[row.get(given[number], "neither")] += 1
        decided = preferred["old"] + preferred["new"]
        tail = sum(math.comb(decided, k) for k in range(preferred["new"], decided + 1)) / 2**decided
        numbers = ", ".join(f"{name} {times}" for name, times in preferred.items())
        print(f"{direction or 'both directions'}: {numbers}; as many for the new one by chance: {tail:.1%}")


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"make": make, "count": count})
