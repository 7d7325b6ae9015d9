"""The model card of a release: metadata for the Hub, text and training curves."""

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import CardData, EvalResult, ModelCard, ModelCardData
from PIL import Image, ImageDraw, ImageFont

from ..directions import Direction

TEMPLATE = (Path(__file__).parent / "model_card.md").read_text(encoding="utf-8")
CURVES = ("adversarial", "cycle", "identity", "discriminator")
PANEL = (420, 200)  # pixels of each curve
POINTS = 200  # of a curve; more would only blacken it


def make_card(
    data: CardData,
    figures: Mapping[str, float] | None = None,
    dataset: str | None = None,
    repo_id: str | None = None,
    **facts: Any,
) -> ModelCard:
    """Write the card.

    Args:
        data: the metadata that every release has.
        figures: the results on held-out pairs, named by direction and metric: `photo_to_sketch_fsim`.
        dataset: the name of the training data on the Hub.
        repo_id: the repository of the release.
        facts: all other variables of the template, from `image_size` to `curves`.
    """
    table = {
        direction: {
            name.removeprefix(f"{direction}_"): value
            for name, value in (figures or {}).items()
            if name.startswith(direction)
        }
        for direction in Direction
    }
    results = [
        EvalResult(
            task_type="image-to-image",
            task_name=direction.words,
            dataset_type=dataset or "pairs",
            dataset_name="held-out pairs of photos and sketches",
            dataset_config=str(direction),
            dataset_split="test",
            metric_type=name,
            metric_value=round(value, 4),
        )
        for direction, row in table.items()
        for name, value in row.items()
    ]
    metadata = data.to_dict() | ({"datasets": [dataset]} if dataset else {})
    if results:
        metadata |= {"model_name": "face photo and sketch", "eval_results": results}
    return ModelCard.from_template(
        ModelCardData(**metadata),
        template_str=TEMPLATE,
        figures={direction.words: row for direction, row in table.items() if row},
        dataset=dataset,
        repo=repo_id or "FOLDER_OR_REPO",
        **facts,
    )


def draw_curves(losses: Path) -> Image.Image:
    """Draw each kind of loss in losses.csv over the steps, as the mean of both domains, in its own panel."""
    with losses.open(newline="") as file:
        rows = list(csv.DictReader(file))
    width, height = PANEL
    image = Image.new("RGB", (2 * width, -(-len(CURVES) // 2) * height), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(13)
    for number, kind in enumerate(CURVES):
        points = [
            (int(row["step"]), sum(values) / len(values))
            for row in rows
            if (
                values := [
                    float(value)
                    for name, value in row.items()
                    if kind in name and value and math.isfinite(float(value))
                ]
            )
        ]
        if not points:
            continue
        size = -(-len(points) // POINTS)
        parts = [points[start : start + size] for start in range(0, len(points), size)]
        curve = [tuple(sum(values) / len(part) for values in zip(*part, strict=True)) for part in parts]
        left, top = 60 + number % 2 * width, 30 + number // 2 * height
        right, bottom = left + width - 80, top + height - 60
        (first, last), values = (curve[0][0], curve[-1][0]), [value for _, value in curve]
        low, high = min(values), max(values)
        draw.rectangle((left, top, right, bottom), outline="#bbbbbb")
        draw.text((left, top - 20), kind, "black", font)
        for text, place, anchor in (
            (f"{high:.3g}", (left - 6, top), "rt"),
            (f"{low:.3g}", (left - 6, bottom), "rb"),
            (f"step {first:.0f}", (left, bottom + 4), "lt"),
            (f"{last:.0f}", (right, bottom + 4), "rt"),
        ):
            draw.text(place, text, "#666666", font, anchor)
        draw.line(
            [
                (
                    left + (step - first) / (last - first or 1) * (right - left),
                    bottom - (value - low) / (high - low or 1) * (bottom - top),
                )
                for step, value in curve
            ],
            "#1f5fbf",
            width=2,
        )
    return image
