"""The real training script, launched on generated pictures."""

import csv
import io
import os
import re
import shutil
import signal
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from socket import socket
from unittest.mock import patch

import datasets
import numpy as np
import onnx
import pytest
import torch
from conftest import ROOT, picture, run
from forked import Forked, run_forked
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from safetensors.torch import load_file, save_file

import train_accelerate
from cyclegan import FaceSketchPipeline
from cyclegan.networks import Features
from cyclegan.palette import PALETTE_SIZE
from cyclegan.training.bounds import BOUNDS
from cyclegan.training.config import TrainConfig, changed_flags, read_flags
from cyclegan.training.state import list_states, load_state

SCRIPT = ROOT / "train_accelerate.py"
TINY = (
    "--image-size", "32", "--width", "4", "--blocks", "1", "--discriminator-width", "8", "--batch-size", "2",
    "--log-every", "1", "--mixed-precision", "no",  # or machines with bf16 would give other losses
)  # fmt: skip
FOUND = os.environ | {"PYTHONPATH": str(ROOT)}  # so that a script elsewhere finds the package


def train(dataset: Path, output: Path, *flags: str, expect: int = 0) -> str:
    """What the script prints; in this process, since importing torch takes longer than most of these runs."""
    arguments = [str(SCRIPT), "--data", str(dataset), "--output", str(output), *TINY, *flags]
    printed = io.StringIO()
    try:
        with patch.object(sys, "argv", arguments), redirect_stdout(printed), redirect_stderr(printed):
            train_accelerate.main()
            code = 0
    except SystemExit as end:
        print(end, file=printed)
        code = 1
    assert code == expect, printed.getvalue()
    return printed.getvalue()


def newest(output: Path) -> dict[str, torch.Tensor]:
    return load_file(list_states(output / "states")[-1])


def assert_equal(one: Path, other: Path) -> None:
    first, second = newest(one), newest(other)
    assert first.keys() == second.keys()
    different = [name for name in first if not torch.equal(first[name], second[name])]
    assert not different


@pytest.fixture(scope="module")
def uninterrupted(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six steps: one epoch of four and half of another."""
    output = tmp_path_factory.mktemp("runs") / "uninterrupted"
    train(dataset, output, "--max-steps", "6")
    return output


def test_launched_by_accelerate_it_writes_a_release(dataset: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    flags = ("--max-steps", "2", "--epochs", "1", "--mixed-precision", "bf16")
    result = run(
        "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1", SCRIPT,
        "--data", dataset, "--output", output, *TINY, *flags, env=FOUND,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "Training on 7 photos and 5 sketches." in result.stdout
    assert "pair" in result.stderr, "the progress bar"

    latest = output / "latest"
    assert latest.resolve().name == "step-00000002"
    assert {file.name for file in latest.iterdir()} == {
        "config.json",
        "README.md",
        "photo_to_sketch.safetensors",
        "sketch_to_photo.safetensors",
        "samples.png",
        "curves.png",
    }
    pipe = FaceSketchPipeline.from_pretrained(latest)
    assert pipe.photo_to_sketch(picture(0, (40, 40))).size == (32, 32)
    assert Image.open(latest / "samples.png").size == (2 * 34 + 2, 6 * 34 + 2)
    card = (latest / "README.md").read_text()
    assert "--mixed-precision bf16" in card
    assert str(dataset) not in card
    with (output / "losses.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "2"]
    assert {"cycle_photo", "adversarial_sketch", "identity_photo", "sketch_discriminator"} < rows[0].keys()


def test_resumed_equals_uninterrupted(dataset: Path, tmp_path: Path, uninterrupted: Path) -> None:
    train(dataset, tmp_path, "--max-steps", "3")
    printed = train(dataset, tmp_path, "--max-steps", "6", "--resume")
    assert "Resumed after step 3" in printed
    assert_equal(tmp_path, uninterrupted)
    steps = [row["step"] for row in csv.DictReader((tmp_path / "losses.csv").open())]
    assert steps == ["1", "2", "3", "4", "5", "6"]
    assert (tmp_path / "epoch-0001").is_dir()


KILLED = """
import re, resource, signal, sys
import train_accelerate
opened = []
def die_half_way(event, details):
    if event == "open" and re.search("MARK", str(details[0])) and "w" in (details[1] or ""):
        opened.append(details[0])
        if len(opened) == 2:  # the first is of step 4
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
sys.addaudithook(die_half_way)
train_accelerate.main()
"""


INTERRUPTED = """
import os, sys
import train_accelerate
step, calls = train_accelerate.training_step, []
def interrupted_step(*arguments):
    calls.append(None)
    if len(calls) == 3:
        os.kill(os.getpid(), SIGNAL)
    return step(*arguments)
train_accelerate.training_step = interrupted_step
train_accelerate.main()
"""


@pytest.mark.parametrize(("signal_number", "saved"), [(signal.SIGTERM, 3), (signal.SIGINT, 3), (signal.SIGKILL, 2)])
def test_interrupted_within_an_epoch_it_loses_nothing_that_was_saved(
    dataset: Path, tmp_path: Path, uninterrupted: Path, signal_number: int, saved: int
) -> None:
    output, script = tmp_path / "run", tmp_path / "interrupted.py"
    script.write_text(INTERRUPTED.replace("SIGNAL", str(int(signal_number))))
    flags = ("--data", dataset, "--output", output, *TINY, "--max-steps", "6", "--save-every", "2")
    result = run_forked(script, *flags, env=FOUND)
    if signal_number == signal.SIGKILL:
        assert result.returncode == -signal.SIGKILL
    else:
        assert result.returncode == 0, result.stderr
        assert "Stopped after step 3. The state is saved" in result.stdout
    assert f"Resumed after step {saved}" in train(dataset, output, "--max-steps", "6", "--resume")
    assert_equal(output, uninterrupted)
    assert [row[0] for row in losses(output)] == [1, 2, 3, 4, 5, 6]


PHASES = {
    "before the first step": ("train_accelerate", "read_data", signal.SIGTERM, 1),
    "while the cache is made": ("cyclegan.data.cache.Pictures", "_decode", signal.SIGHUP, 1),
    "while a release is scored": ("cyclegan.training.epoch", "mean_figures", signal.SIGINT, 5),
    "while a state is saved": ("cyclegan.training.state", "save", signal.SIGTERM, 5),
}
INTERRUPTED_IN = """
import os, pydoc, signal
import train_accelerate
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which nohup ignores, and training then, too
place = pydoc.locate("PLACE")
function, calls = place.NAME, []
def interrupted(*arguments):
    if not calls:
        calls.append(os.kill(os.getpid(), SIGNAL))
    return function(*arguments)
place.NAME = interrupted
train_accelerate.main()
"""


@pytest.mark.parametrize("phase", PHASES)
def test_a_signal_is_heard_whatever_training_is_doing(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    place, name, number, saved = PHASES[phase]
    script = tmp_path / "interrupted.py"
    script.write_text(INTERRUPTED_IN.replace("PLACE", place).replace("NAME", name).replace("SIGNAL", str(int(number))))
    flags = ("--data", dataset, "--output", tmp_path / "run", *TINY, "--max-steps", "6")
    result = run_forked(script, *flags, env=FOUND | {"CYCLEGAN_CACHE": str(tmp_path / "cache")})
    assert result.returncode == 0, result.stderr
    assert f"Stopped after step {saved}. The state is saved" in result.stdout
    assert load_state(list_states(tmp_path / "run/states")[-1])[0] == saved
    assert (tmp_path / "run/epoch-0001").is_dir() == (saved == 5)
    assert not [*tmp_path.rglob("*.partial")]


@pytest.mark.parametrize("mark", ["samples.png$", "states/.*partial$"])
def test_killed_while_saving_it_goes_on_from_the_state_before(
    dataset: Path, tmp_path: Path, uninterrupted: Path, mark: str
) -> None:
    """Killed with half of the release written, and with half of the state."""
    output = tmp_path / "run"
    flags = ("--data", dataset, "--output", output, *TINY, "--max-steps", "6")
    killer = tmp_path / "killer.py"
    killer.write_text(KILLED.replace("MARK", mark))
    result = run_forked(killer, *flags, env=FOUND)
    assert result.returncode == -signal.SIGXFSZ
    assert [load_state(path)[0] for path in list_states(output / "states")] == [4]
    FaceSketchPipeline.from_pretrained(output / "latest")
    assert "Resumed after step 4" in train(dataset, output, "--max-steps", "6", "--resume")
    assert_equal(output, uninterrupted)
    assert len(list_states(output / "states")) == 2


def test_a_full_disk_is_a_sentence_and_loses_nothing(dataset: Path, tmp_path: Path) -> None:
    train(dataset, tmp_path, "--max-steps", "1")
    flags = ("--data", dataset, "--output", tmp_path, *TINY, "--max-steps", "2", "--resume")
    result = run_forked(SCRIPT, *flags, env=FOUND, largest_file=2**20)
    assert result.returncode == 1
    assert "Step 2 could not be saved" in result.stderr
    assert "Continue with --resume" in result.stderr
    assert "Traceback" not in result.stderr
    assert [load_state(path)[0] for path in list_states(tmp_path / "states")] == [1]


def losses(run: Path) -> list[list[float]]:
    """The lines of a run's losses.csv, or of that file, without what the clock says; 0 for what was not computed."""
    clock = ("pairs_per_second", "data_wait")
    with (run / "losses.csv" if run.is_dir() else run).open() as file:
        return [[float(row[name] or 0) for name in row if name not in clock] for row in csv.DictReader(file)]


OPTIONS = (
    "--upsample", "resize", "--identity-every", "2", "--paired-weight", "10", "--reconstruction-noise", "0.1",
    "--relight", "0.5",
    "--differentiable-augmentation", "--learning-rate-batch", "1", "--pool-size", "2",
)  # fmt: skip
CALM = (
    "--learning-rate",
    "5e-6",
)  # training is chaotic: at the usual rate, rounding reaches the first digit in 20 steps


@pytest.mark.parametrize("options", [("--pool-size", "0"), (*OPTIONS, "--pool-size", "0")], ids=["default", "options"])
def test_accumulated_parts_give_what_the_whole_batch_gives(
    dataset: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    flags = ("--max-steps", "3", *CALM, *options)
    train(dataset, tmp_path / "whole", *flags)
    train(dataset, tmp_path / "parts", *flags, "--gradient-accumulation", "2")
    assert torch.allclose(
        torch.tensor(losses(tmp_path / "parts")), torch.tensor(losses(tmp_path / "whole")), 1e-3, 5e-4
    )


def test_a_run_of_small_pictures_goes_on_with_larger_ones(dataset: Path, tmp_path: Path) -> None:
    """With compact generators and narrow discriminators; the pools take pictures of the new size."""
    flags = ("--compact", "--grey-sketches", "--discriminator-width", "4", "--pool-size", "2")
    train(dataset, tmp_path, *flags, "--max-steps", "2")
    train(dataset, tmp_path, *flags, "--max-steps", "4", "--image-size", "40", "--resume")
    assert newest(tmp_path)["sketch_pool/images"].shape == (2, 3, 40, 40)
    assert newest(tmp_path)["sketch_discriminator/layers.0.weight"].shape[0] == 4
    pipe = FaceSketchPipeline.from_pretrained(tmp_path / "latest")
    assert pipe.sketch_generator.compact and pipe.photo_generator.compact
    assert pipe.sketch_generator.grey and not pipe.photo_generator.grey
    red, green, blue = pipe.photo_to_sketch(picture(1)).split()
    assert red == green == blue
    assert pipe.image_size == 40


EACH_RANK = """
import os, sys
from pathlib import Path
from safetensors.torch import save_file
import train_accelerate
build, models = train_accelerate.build, []
def build_and_keep(*arguments):
    models.append(build(*arguments))
    return models[-1]
train_accelerate.build = build_and_keep
train_accelerate.main()
networks = models[0].bare.items()
weights = {f"{n}.{name}": w.clone() for n, network in networks for name, w in network.state_dict().items()}
save_file(weights, Path(__file__).with_name(f"rank-{os.environ['RANK']}.safetensors"))
"""


@pytest.mark.parametrize(
    "options",
    # Bare lines are nearly blank, and InstanceNorm makes much of rounding there: their draws show in the first step
    [("--line-sketches", "0.5", "--max-steps", "1"), (*OPTIONS, "--gradient-accumulation", "2")],
    ids=["lines", "options"],
)
def test_two_processes_train_as_one(dataset: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    """With a pool so small that fakes are exchanged; the ranks stay identical to the bit."""
    flags = ("--max-steps", "4", "--batch-size", "4", *CALM, *options)
    train(dataset, tmp_path / "one", *flags)
    script = tmp_path / "each_rank.py"
    script.write_text(EACH_RANK)
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    settings = FOUND | {"ACCELERATE_USE_CPU": "true"} | place  # what a launcher sets
    ranks = [
        Forked(
            script, "--data", dataset, "--output", tmp_path / "two", *TINY, *flags,
            env=settings | {"RANK": rank, "LOCAL_RANK": rank},
        )
        for rank in "01"
    ]  # fmt: skip
    results = [rank.wait() for rank in ranks]
    assert all(result.returncode == 0 for result in results), results
    assert "2 processes on cpu" in results[0].stdout
    assert torch.allclose(torch.tensor(losses(tmp_path / "two")), torch.tensor(losses(tmp_path / "one")), 1e-3, 5e-4)
    one, two = newest(tmp_path / "one"), newest(tmp_path / "two")
    assert one.keys() == two.keys()
    for name, values in one.items():
        # A bias before InstanceNorm has no gradient but rounding, which Adam makes a step of
        if name.startswith("photo_pool") or (name.startswith("photo_average") and name.endswith("weight")):
            torch.testing.assert_close(two[name], values, rtol=0, atol=1e-2)
    first, second = (load_file(tmp_path / f"rank-{rank}.safetensors") for rank in (0, 1))
    assert first and not [name for name in first if not torch.equal(first[name], second[name])]


@pytest.fixture(scope="session")
def vgg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VGG16 that nobody trained."""
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("vgg") / "vgg16.safetensors"
    save_file(Features().state_dict(), file)
    return file


@pytest.fixture(scope="session")
def face_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face recognition network that nobody trained: a convolution and a layer of eight numbers."""
    rng = np.random.default_rng(0)
    shapes = {"kernel": (4, 3, 16, 16), "matrix": (196, 8)}
    model = helper.make_model(
        helper.make_graph(
            [
                helper.make_node("Conv", ["face", "kernel"], ["seen"], strides=[16, 16]),
                helper.make_node("Relu", ["seen"], ["lit"]),
                helper.make_node("Flatten", ["lit"], ["flat"]),
                helper.make_node("MatMul", ["flat", "matrix"], ["description"]),
            ],
            "face",
            [helper.make_tensor_value_info("face", TensorProto.FLOAT, ("N", 3, 112, 112))],
            [helper.make_tensor_value_info("description", TensorProto.FLOAT, ("N", 8))],
            [numpy_helper.from_array(rng.normal(size=size).astype("f") / 9, name) for name, size in shapes.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
    )
    file = tmp_path_factory.mktemp("face") / "face.onnx"
    onnx.save(model, file)
    return file


TOLD = (
    "--style-pattern",
    "(?P<early>[0-2])|(?P<late>[3-9])",
    "--palette",
    "--palette-weight",
    "2",
    "--zoom",
    "1",
    "1.5",
)


@pytest.mark.parametrize(
    ("recorded", "options"),
    [
        ("default", ()),
        ("options", (*OPTIONS, "--line-sketches", "0.5", "--spectral-norm")),
        ("conditions", (*TOLD, "--perceptual-weight", "1", "--likeness-weight", "1")),
    ],
)
def test_twenty_steps_give_the_recorded_losses(
    dataset: Path, tmp_path: Path, vgg: Path, face_network: Path, recorded: str, options: tuple[str, ...]
) -> None:
    """A refactoring changes nothing here. Where a change is meant, copy the printed file over the recorded one.

    With other processors' arithmetic they stayed within 0.0006, or with the options, where more is random, 0.001.
    """
    if "--perceptual-weight" in options:
        options = (*options, "--perceptual-network", str(vgg), "--likeness-network", str(face_network))
    train(dataset, tmp_path, "--max-steps", "20", "--epochs", "5", "--discriminator-width", "64", *CALM, *options)
    golden = ROOT / "tests" / f"golden_{recorded}.csv"
    now, then = torch.tensor(losses(tmp_path)), torch.tensor(losses(golden))
    torch.testing.assert_close(
        now, then, rtol=0, atol=3e-3 if options else 2e-3, msg=f"{tmp_path / 'losses.csv'} is not {golden}"
    )


def test_it_starts_from_a_release_and_keeps_styles_and_palette(dataset: Path, tmp_path: Path, release: Path) -> None:
    flags = (*TOLD, "--start-from", str(release), "--max-steps", "1", "--learning-rate", "1e-9")
    printed = train(dataset, tmp_path, *flags)
    assert "Styles: early, late." in printed
    assert f"sketch_to_photo starts from {release}, but for condition.weight." in printed
    made, given = FaceSketchPipeline.from_pretrained(tmp_path / "latest"), FaceSketchPipeline.from_pretrained(release)
    assert made.styles == ["early", "late"]
    assert made.photo_generator.conditions == PALETTE_SIZE
    for old, new in zip(given.generators.values(), made.generators.values(), strict=True):
        for name, tensor in old.state_dict().items():
            torch.testing.assert_close(new.state_dict()[name], tensor, atol=1e-3, rtol=1e-3)
    printed = train(dataset, tmp_path, "--resume", *flags[:2], *flags[5:], expect=1)
    assert "palette was True and is now False" in printed


def test_a_release_of_another_architecture_is_refused(dataset: Path, tmp_path: Path, release: Path) -> None:
    for flags in (("--start-from", "embedded"), ("--start-from", str(release), "--blocks", "2", "--compact")):
        printed = train(dataset, tmp_path, *flags, expect=1)
        assert "does not fit: its photo_to_sketch has --width" in printed and "--preset released" in printed
    assert not (tmp_path / "latest").exists()


def test_flags_that_need_others_are_told(dataset: Path, tmp_path: Path) -> None:
    assert "--palette-weight needs --palette" in train(dataset, tmp_path, "--palette-weight", "1", expect=1)
    assert "--zoom" in train(dataset, tmp_path, "--zoom", "2", "1", expect=1)
    assert "does not match the sketch" in train(dataset, tmp_path, "--style-pattern", "(x)", expect=1)
    printed = train(dataset, tmp_path, "--perceptual-weight", "1", "--perceptual-network", str(tmp_path), expect=1)
    assert "--perceptual-network" in printed
    assert "--likeness-weight needs --likeness-network FILE" in train(
        dataset, tmp_path, "--likeness-weight", "1", expect=1
    )
    for file in (tmp_path / "none.onnx", Path(__file__), tmp_path):
        printed = train(dataset, tmp_path, "--likeness-weight", "1", "--likeness-network", str(file), expect=1)
        assert f"could not be loaded from {file}" in printed and "--likeness-network" in printed


def test_a_loss_that_is_no_number_stops_the_run(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BOUNDS, "learning_rate", (0, 1e38))
    train(dataset, tmp_path, "--max-steps", "1")
    printed = train(dataset, tmp_path, "--resume", "--learning-rate", "1e38", "--log-every", "3", expect=1)
    assert re.search(r"The loss \w+ was (nan|inf) in step [23]\.", printed)
    assert f"The last good state is {list_states(tmp_path / 'states')[-1]}" in printed
    assert [load_state(path)[0] for path in list_states(tmp_path / "states")] == [1]


def test_alarms_are_raised_once_an_epoch(dataset: Path, tmp_path: Path) -> None:
    script = tmp_path / "alarmed.py"
    script.write_text("import train_accelerate, cyclegan.training.log as log\nlog.WON = 9\ntrain_accelerate.main()")
    flags = ("--data", dataset, "--output", tmp_path / "run", *TINY, "--max-steps", "6")
    result = run_forked(script, *flags, env=FOUND)
    assert result.stderr.count("the sketch discriminator wins outright") == 2, "of two epochs"


def test_each_epoch_is_scored_and_the_best_release_kept(dataset: Path, tmp_path: Path) -> None:
    """The data set has one pair in test/: 1.png."""
    printed = train(dataset, tmp_path, "--epochs", "2")
    assert "Epoch 2: photo to sketch fsim 0." in printed
    with (tmp_path / "figures.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    scores = [float(row["photo_to_sketch_fsim"]) + float(row["sketch_to_photo_fsim"]) for row in rows]
    best = 1 + scores.index(max(scores))
    assert (tmp_path / "best").resolve().name == f"epoch-{best:04d}"

    printed = train(dataset, tmp_path, "--resume", "--epochs", "3", "--learning-rate", "1e-12")
    assert max(scores) == load_state(list_states(tmp_path / "states")[0])[2]["best"] * 2


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--max-steps", "7"), "already holds a run. Continue it with --resume"),
        (("--resume", "--width", "8"), "width was 4 and is now 8"),
        (("--resume", "--batch-size", "4"), "batch_size was 2 and is now 4"),
        (("--gradient-accumulation", "4"), "--batch-size must be a multiple of 4"),
        (("--resume", "--spectral-norm"), "spectral_norm was False and is now True"),
    ],
)
def test_wrong_flags_are_a_sentence(dataset: Path, uninterrupted: Path, flags: tuple[str, ...], words: str) -> None:
    before = newest(uninterrupted)
    assert words in train(dataset, uninterrupted, *flags, expect=1)
    assert before.keys() == newest(uninterrupted).keys()


def test_other_pictures_are_refused(dataset: Path, tmp_path: Path, uninterrupted: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(dataset, data)
    (data / "train/photos/0.png").rename(data / "train/photos/zero.png")
    printed = train(data, uninterrupted, "--resume", expect=1)
    assert re.search(r"photos was 7 \(\w{8}\) and is now 7 \(\w{8}\)", printed)


def test_a_preset_gives_the_defaults_and_flags_win() -> None:
    config = read_flags(["--preset", "reference", "--data", "faces", "--epochs", "3"])
    assert (config.image_size, config.batch_size, config.epochs, config.identity_weight) == (256, 1, 3, 5.0)
    config = read_flags(["--data", "faces", "--preset=seed"])
    assert (config.image_size, config.batch_size, config.epochs, config.identity_weight) == (64, 256, 15, 0.0)
    assert changed_flags(config)["--padding"] == "zero"
    config = read_flags(["--data", "faces", "--preset", "released", "--no-compact", "--zoom", "1", "2"])
    assert (config.width, config.palette_weight, config.compact, config.zoom) == (32, 5.0, False, (1.0, 2.0))


def test_the_recipe_of_a_card_can_be_typed_again() -> None:
    config = TrainConfig("faces", compact=True, width=8, max_steps=3, reconstruction_noise=0.1)
    flags = " ".join(f"{name} {value}" for name, value in changed_flags(config).items()).split()
    assert read_flags(["--data", "faces", *flags]) == config


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--max-steps", "0"), "--max-steps must be between 1 and 1000000000; got 0"),
        (("--mixed-precision", "fp16"), "fp16 needs a GPU. On a CPU, use --mixed-precision bf16 or no."),
    ],
)
def test_what_cannot_run_is_refused(dataset: Path, tmp_path: Path, flags: tuple[str, ...], words: str) -> None:
    result = run_forked(SCRIPT, "--data", dataset, "--output", tmp_path, *flags, env=FOUND)
    assert result.stderr == f"{words}\n"


def test_damaged_pictures_are_named_and_others_stand_in_whatever_is_in_the_cache(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    shutil.copytree(dataset, data)
    (data / "train/photos/0.png").write_bytes(b"?")
    (data / "train/sketches/0.png").write_bytes((data / "train/sketches/1.png").read_bytes()[:200])
    monkeypatch.setenv("CYCLEGAN_CACHE", str(tmp_path / "cache"))
    printed = train(data, tmp_path / "whole", "--max-steps", "5")
    assert printed.count("Left out:") == 2
    assert "train/photos/0.png is not a picture" in printed
    assert "train/sketches/0.png is cut off or damaged" in printed

    train(data, tmp_path / "resumed", "--max-steps", "2")  # finds everything decoded
    shutil.rmtree(tmp_path / "cache")
    train(data, tmp_path / "resumed", "--max-steps", "5", "--resume")
    assert_equal(tmp_path / "resumed", tmp_path / "whole")

    shutil.rmtree(data / "train/photos")
    printed = train(data, tmp_path / "other", "--max-steps", "1", expect=1)
    assert "train/photos is missing" in printed


def test_it_trains_on_shards(tmp_path: Path) -> None:
    for number in range(2):
        columns = {"photo": [picture(10 * number + row) for row in range(3)], "drawing": [picture(number), None, None]}
        features = datasets.Features({name: datasets.Image() for name in columns})
        rows = datasets.Dataset.from_dict(columns, features=features)
        rows.to_parquet(tmp_path / f"shards/train-0000{number}-of-00002.parquet")
    flags = ("--max-steps", "1", "--sketch-column", "drawing")
    result = run(SCRIPT, "--data", "hf:shards", "--output", "run", *TINY, *flags, env=FOUND, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "Training on 6 photos and 2 sketches." in result.stdout
    assert list_states(tmp_path / "run/states")
