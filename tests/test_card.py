from pathlib import Path
from typing import Any

import numpy as np
from conftest import make_pipeline
from huggingface_hub import ModelCard
from PIL import Image

from cyclegan.hub.card import draw_curves

FIGURES = {
    "photo_to_sketch_ssim": 0.2231,
    "photo_to_sketch_fsim": 0.5662,
    "sketch_to_photo_ssim": 0.379,
    "sketch_to_photo_fsim": 0.6838,
}
FACTS = {
    "recipe": {"--width": "32"},
    "progress": {"epoch": 3, "cycle_photo": 0.1},
    "counts": {"photos": 7, "sketches": 5},
    "samples": True,
    "curves": True,
}


def card(**facts: object) -> ModelCard:
    return make_pipeline().generate_model_card(**facts)


def read(card: ModelCard) -> Any:
    """The metadata as the Hub reads it."""
    return ModelCard(str(card)).data


def test_the_figures_are_in_the_text_and_in_the_metadata() -> None:
    made = card(**FACTS, figures=FIGURES, dataset="ann/faces", repo_id="ann/model", data_note="Drawn by Ann, CC0.")
    assert "| | ssim | fsim |" in made.text
    assert "| photo to sketch | 0.223 | 0.566 |" in made.text
    assert "| sketch to photo | 0.379 | 0.684 |" in made.text
    assert 'from_pretrained("ann/model")' in made.text
    assert "[ann/faces](https://huggingface.co/datasets/ann/faces): 7 photos and 5 sketches, not paired." in made.text
    assert "Drawn by Ann, CC0." in made.text
    assert "Trained without pairs at 32" in made.text
    assert "--data DATA --width 32\n" in made.text
    assert "| cycle photo | 0.1 |" in made.text
    assert "](samples.png)" in made.text
    assert "](curves.png)" in made.text

    data = read(made)
    told = {"pipeline_tag": "image-to-image", "library_name": "cyclegan", "datasets": ["ann/faces"]}
    assert data.to_dict() | told == data.to_dict()
    results = {(result.dataset_config, result.metric_type): result.metric_value for result in data.eval_results}
    assert results == {(name[:15], name[16:]): value for name, value in FIGURES.items()}


def test_what_is_not_known_is_not_claimed() -> None:
    made = card()
    assert "Figures" not in made.text
    assert "Recipe" not in made.text
    assert ".png" not in made.text
    assert read(made).eval_results is None
    assert "Trained at" in made.text, "with or without pairs"
    trained = card(**FACTS)
    assert "was not told what the pictures are" in trained.text
    assert "identify anyone" in trained.text


def test_pairs_are_owned_up_to() -> None:
    made = card(**FACTS | {"recipe": {"--paired-weight": "10"}})
    assert "Trained partly on pairs at" in made.text
    assert "not paired" not in made.text


def test_cards_do_not_leak_into_each_other() -> None:
    card(figures=FIGURES, dataset="ann/faces")
    assert read(card()).datasets is None


def test_curves_fall_where_the_loss_falls(tmp_path: Path) -> None:
    table = tmp_path / "losses.csv"
    rows = [f"{step},{1 / step},{2 / step},{'' if step % 2 else step}" for step in range(1, 1001)]
    table.write_text("\n".join(["step,cycle_photo,cycle_sketch,identity_photo", *rows, ""]))
    image = draw_curves(table)
    image.save(tmp_path / "curves.png")
    assert Image.open(tmp_path / "curves.png").size == (840, 400)
    blue = np.argwhere((np.array(image) == (0x1F, 0x5F, 0xBF)).all(-1))
    cycle, identity = blue[(blue[:, 1] >= 420) & (blue[:, 0] < 200)], blue[(blue[:, 1] < 420) & (blue[:, 0] >= 200)]
    left, right = cycle[cycle[:, 1].argmin()], cycle[cycle[:, 1].argmax()]
    assert left[0] < right[0], "the cycle loss falls: its end is lower on the page"
    left, right = identity[identity[:, 1].argmin()], identity[identity[:, 1].argmax()]
    assert left[0] > right[0]
    assert len(cycle) + len(identity) == len(blue), "no losses, no curve"
