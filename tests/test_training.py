"""What training does beside its step, part by part."""

import csv
import errno
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import parse_flag_from_env
from forked import run_forked
from torch.utils._python_dispatch import TorchDispatchMode

import train_accelerate
from cyclegan import FaceSketchPipeline
from cyclegan.data.batches import UnpairedBatches
from cyclegan.data.layouts import DataSet
from cyclegan.data.sources import DataError
from cyclegan.extras import launching
from cyclegan.files import atomic, point
from cyclegan.training import TrainingError
from cyclegan.training.bounds import BOUNDS
from cyclegan.training.config import TrainConfig
from cyclegan.training.epoch import sample_pictures
from cyclegan.training.guard import check_plugins, check_tracker, disk_errors, memory_errors, own, stop_on_signals
from cyclegan.training.log import alarms, append_row, cut_rows, mean_losses, read_rows
from cyclegan.training.start import choose_precision
from cyclegan.training.state import check_finite, list_states, load_newest, save_state


def steps(path: Path) -> list[str]:
    with path.open() as file:
        return [row["step"] for row in csv.DictReader(file)]


@pytest.mark.parametrize(
    "tail",
    [
        *(b"", b"\0" * 64, b"\r\n", b"\n", b"1", b"4,0.", b"4,0.5\r", b"4\r\n", b"\xff\xfe\r\n"),
        *(b"9" * 5000 + b",1\r\n", b"4," + b"9" * 200_000, b"5,\0\0\0\r\n", b"5,a\r\n", b"-4,1\r\n", b'"4,1\r\n'),
    ],
)
def test_what_a_power_cut_leaves_of_a_table_is_cut_off(tmp_path: Path, tail: bytes) -> None:
    table = tmp_path / "losses.csv"
    for step in (1, 2, 3):
        append_row(table, {"step": step, "loss": 0.5})
    whole = table.read_bytes()
    table.write_bytes(whole + tail)
    append_row(table, {"step": 6, "loss": 0.5})
    assert [row["step"] for row in read_rows(table) if row["step"] != "4"] == ["1", "2", "3", "6"]

    table.write_bytes(whole + tail)
    cut_rows(table, 2)
    append_row(table, {"step": 3, "loss": 0.25})
    assert steps(table) == ["1", "2", "3"]
    assert read_rows(table)[-1] == {"step": "3", "loss": "0.25"}


@pytest.mark.parametrize("content", [b"", b"\0\0\0", b"ste", b"step,loss", b"\n"])
def test_a_table_without_a_header_begins_anew(tmp_path: Path, content: bytes) -> None:
    table = tmp_path / "losses.csv"
    table.write_bytes(content)
    cut_rows(table, 5)
    assert not table.exists()
    append_row(table, {"step": 6, "loss": 1})
    table.write_bytes(content)
    append_row(table, {"step": 6, "loss": 1})
    assert read_rows(table) == [{"step": "6", "loss": "1"}]


@pytest.mark.parametrize("content", ["step;loss\r\n1;0,5\r\n", "Schritt,loss\n1,0.5\n"])
@pytest.mark.parametrize("change", [lambda path: cut_rows(path, 5), lambda path: append_row(path, {"step": 6})])
def test_a_table_that_another_program_saved_is_kept_beside(
    tmp_path: Path, content: str, change: Callable[[Path], None]
) -> None:
    table = tmp_path / "losses.csv"
    table.write_bytes(content.encode())
    change(table)
    (aside,) = tmp_path.glob("losses-*.csv")
    assert aside.read_bytes() == content.encode()


def test_a_mark_that_a_spreadsheet_puts_in_front_loses_no_line(tmp_path: Path) -> None:
    table = tmp_path / "losses.csv"
    table.write_bytes(b"\xef\xbb\xbfstep,loss\r\n1,0.5\r\n")
    cut_rows(table, 5)
    append_row(table, {"step": 6, "loss": 1})
    assert steps(table) == ["1", "6"]


def test_a_table_takes_new_columns_and_keeps_the_old(tmp_path: Path) -> None:
    table = tmp_path / "losses.csv"
    append_row(table, {"step": 1, "old": 1})
    append_row(table, {"step": 2, "new": 2})
    assert read_rows(table) == [{"step": "1", "new": "", "old": "1"}, {"step": "2", "new": "2", "old": ""}]


def test_alarms_have_a_key_and_a_sentence() -> None:
    calm = {"sketch_discriminator": 0.2, "photo_discriminator": 0.2, "sketch_correlation": 0.5}
    ((key, alarm),) = alarms(calm | {"sketch_discriminator": 0.001, "photo_correlation": 0.4})
    assert key == "sketch discriminator"
    assert "the sketch discriminator wins outright (its loss is 0.001" in alarm
    ((key, alarm),) = alarms(calm | {"photo_correlation": -0.4})
    assert key == "photo generator"
    assert "the photo generator inverts light and dark" in alarm


def test_a_loss_or_a_weight_that_is_no_number_is_named_with_the_last_good_state(tmp_path: Path) -> None:
    history = [(7, "cycle_photo", torch.tensor(1.0)), (8, "cycle_photo", torch.tensor(float("nan")))]
    accelerator = Accelerator(cpu=True)
    assert mean_losses(accelerator, history[:1], tmp_path) == {"cycle_photo": 1.0}
    with pytest.raises(TrainingError, match=r"cycle_photo was nan in step 8\. No state was saved before"):
        mean_losses(accelerator, history, tmp_path)

    network = torch.nn.Linear(2, 2)
    good = {"generator": network.state_dict(), "count": {"step": torch.tensor(3)}}
    check_finite(good, 3, tmp_path)
    saved = save_state(tmp_path, 3, good, {}, keep=2)
    network.bias.data[1] = float("inf")
    with pytest.raises(TrainingError, match=rf"generator/bias was no longer finite after step 4\. .* {saved}: go on"):
        check_finite({"generator": network.state_dict()}, 4, tmp_path)


def test_files_of_others_beside_the_states_are_left_alone(tmp_path: Path) -> None:
    foreign = tmp_path / "step-final.safetensors"
    foreign.write_text("mine")
    for step in (1, 2):
        save_state(tmp_path, step, {"x": torch.ones(1)}, {"config": {}, "pictures": {}, "best": 0.5}, keep=1)
    assert [path.name for path in list_states(tmp_path)] == ["step-00000002.safetensors"]
    assert foreign.read_text() == "mine"
    assert load_newest(tmp_path, {}, TrainConfig("faces"), {}) == (2, 0.5)


def test_a_run_that_was_not_fp16_goes_on_with_a_new_scaler(tmp_path: Path) -> None:
    save_state(tmp_path, 1, {"x": {}}, {"config": {"width": 4}, "pictures": {}, "best": 0.5}, keep=1)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    assert load_newest(tmp_path, {"scaler": scaler}, TrainConfig("faces", width=4), {}) == (1, 0.5)
    assert scaler.get_scale() == 8.0
    with pytest.raises(TrainingError, match="width was 4 and is now 8"):
        load_newest(tmp_path, {"scaler": scaler}, TrainConfig("faces", width=8), {})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("relight", 7.0, "--relight must be between 0 and 1; got 7"),
        ("ema_decay", 2.0, "--ema-decay must be between 0 and 1; got 2"),
        ("ema_decay", float("nan"), "--ema-decay must be between 0 and 1; got nan"),
        ("decay_from", -1.0, "--decay-from must be between 0 and 1; got -1"),
        ("line_sketches", 1.5, "--line-sketches must be between 0 and 1; got 1.5"),
        ("cycle_weight", -10.0, "--cycle-weight must be between 0 and 1000000; got -10"),
        ("identity_weight", float("inf"), "--identity-weight must be between 0 and 1000000; got inf"),
        ("learning_rate", -1.0, "--learning-rate must be between 1e-12 and 1; got -1"),
        ("pool_size", -1, "--pool-size must be between 0 and 1000000; got -1"),
        ("validation_pictures", -3, "--validation-pictures must be between 0 and 1000000; got -3"),
        ("discriminator_width", 0, "--discriminator-width must be between 1 and 1024; got 0"),
        ("max_steps", 0, "--max-steps must be between 1 and 1000000000; got 0"),
        ("seed", -1, "--seed must be between 0 and 9223372036854775807; got -1"),
        ("image_size", 30, "--image-size must be between 32 and 4096; got 30"),
        ("image_size", 8192, "--image-size must be between 32 and 4096; got 8192"),
        ("width", 10**9, "--width must be between 1 and 1024; got 1000000000"),
        ("batch_size", 10**6, "--batch-size must be between 1 and 65536; got 1000000"),
        ("learning_rate", 1e38, "--learning-rate must be between 1e-12 and 1; got 1e+38"),
        ("image_size", 34, "--image-size must be a multiple of 4; got 34"),
    ],
)
def test_a_number_out_of_its_bounds_is_refused(name: str, value: float, message: str) -> None:
    with pytest.raises(TrainingError) as raised:
        TrainConfig("faces", **{name: value})  # type: ignore[arg-type]
    assert str(raised.value) == message


def test_every_number_has_bounds() -> None:
    numbers = {field.name for field in fields(TrainConfig) if "int" in str(field.type)}
    numbers |= {field.name for field in fields(TrainConfig) if "float" in str(field.type)}
    assert len(numbers) > 20
    assert all(high < float("inf") for _, high in BOUNDS.values())
    assert not {name for name in numbers if "Literal" not in name} - BOUNDS.keys()


HOLDER = """
import sys
from pathlib import Path
from cyclegan.training.guard import own
with own(Path(sys.argv[1])):
    print("holds", flush=True)
    sys.stdin.read()
"""


def test_a_folder_has_one_run_and_a_killed_one_leaves_no_lock(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout and holder.stdout.readline() == "holds\n"
        with pytest.raises(TrainingError, match=f"Another run is using {tmp_path}"), own(tmp_path):
            pass
        holder.kill()
    for _ in range(2):
        with own(tmp_path):
            pass


def test_a_launchers_variable_that_says_nonsense_is_named(
    tmp_path: Path, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "maybe")
    words = r"truth value maybe\. Change or unset what is wrong in the environment: ACCELERATE_USE_CPU=maybe"
    with pytest.raises(TrainingError, match=words), launching(TrainingError):
        parse_flag_from_env("ACCELERATE_USE_CPU")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp8")
    with pytest.raises(TrainingError, match="ACCELERATE_MIXED_PRECISION must be no, fp16 or bf16; got fp8"):
        choose_precision("auto")
    monkeypatch.delenv("ACCELERATE_USE_CPU")
    monkeypatch.setenv("WORLD_SIZE", "two")
    flags = ("--to", "sketch", "--out", tmp_path / "out", "--weights", release)
    told = run_forked("-m", "cyclegan", "convert", tmp_path, *flags).stderr
    assert "'two'. Change or unset what is wrong in the environment" in told
    assert "WORLD_SIZE=two" in told


def test_an_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with (
        pytest.raises(TrainingError, match=r"--output must be a writable folder; got .*file"),
        own(tmp_path / "file"),
    ):
        pass
    assert (tmp_path / "file").read_text() == "mine"


WAITING = """
import os, signal, sys, time
from pathlib import Path
from cyclegan.training.guard import stop_on_signals
ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
with stop_on_signals() as stop:
    os.write(1, b"ready")
    end = time.monotonic() + (1 if ignored else 60)
    while not stop() and time.monotonic() < end:
        time.sleep(0.05)
    if stop() != ignored:
        os.write(2, b"Stopped")
        Path(sys.argv[1]).touch()
"""


@pytest.mark.parametrize("ignored", [False, True], ids=["heard", "nohup"])
def test_a_terminal_that_is_closed_lets_the_state_be_saved(tmp_path: Path, ignored: bool) -> None:
    saved = tmp_path / "saved"
    process, terminal = pty.fork()
    if not process:  # a new program, since a fork of one with threads may wait for a lock for ever
        signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
        os.execv(sys.executable, [sys.executable, "-c", WAITING, str(saved)])
    assert os.read(terminal, 5) == b"ready"
    os.kill(process, signal.SIGHUP) if ignored else os.close(terminal)
    assert os.waitpid(process, 0)[1] == 0
    assert saved.exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.ESTALE, errno.EMFILE])
def test_a_disk_that_fails_anywhere_ends_a_run_in_a_sentence(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: TrainConfig) -> None:
        raise OSError(number, os.strerror(number), os.fsdecode(b"runs/Mu\xf1oz/losses.csv"))

    monkeypatch.setattr(train_accelerate, "train", fail)
    monkeypatch.setattr(sys, "argv", ["train_accelerate.py", "--data", "faces"])
    with pytest.raises(SystemExit, match=rf"Mu\\udcf1oz/losses\.csv: {os.strerror(number)}\. .*--resume"):
        train_accelerate.main()


def test_signals_mean_what_they_meant_before(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with stop_on_signals() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)  # a launcher passes the same wish on
        assert stop()
        monkeypatch.setattr("cyclegan.training.guard.IMPATIENT", 0.0)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))

    seen = []

    def in_a_thread() -> None:
        with stop_on_signals() as stop:
            seen.append(stop())

    thread = threading.Thread(target=in_a_thread)
    thread.start()
    thread.join()
    assert seen == [False]


def test_a_tracker_that_would_log_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cyclegan.training.guard.get_available_trackers", lambda: ["tensorboard"])
    check_tracker(None)
    check_tracker("tensorboard")
    with pytest.raises(TrainingError, match=r"--tracker comet_ml needs its package: pip install comet-ml"):
        check_tracker("comet_ml")
    with pytest.raises(TrainingError, match=r"--tracker must be one of aim, .*; got tensorbord"):
        check_tracker("tensorbord")


@pytest.mark.parametrize("variable", ["ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_FSDP"])
def test_a_launcher_that_divides_the_model_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    check_plugins()
    monkeypatch.setenv(variable, "true")
    with pytest.raises(TrainingError, match=rf"is not supported.* --multi_gpu.*unset {variable}\)"):
        train_accelerate.train(TrainConfig("faces"))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried"),
        MemoryError(),
    ],
)
def test_too_little_memory_is_a_sentence(error: Exception) -> None:
    words = r"not enough memory .*Use --gradient-accumulation 4, .*or a smaller"
    with pytest.raises(TrainingError, match=words), memory_errors(2):
        raise error
    with pytest.raises(RuntimeError, match="a bug of ours"), memory_errors(2):
        raise RuntimeError("a bug of ours")


def test_between_two_lines_of_the_log_nothing_is_read_from_the_device(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on several devices, where the wish to stop is exchanged too. The counts that are read lie on the CPU."""
    events: list[str] = []

    class Reads(TorchDispatchMode):
        def __torch_dispatch__(self, call: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if call is torch.ops.aten._local_scalar_dense.default:
                events.append(str(args[0].dtype))
            return call(*args, **kwargs or {})

    step, patience = train_accelerate.training_step, []

    def marked_step(accelerator: Accelerator, *arguments: Any) -> dict[str, torch.Tensor]:
        events.append("step")
        patience.append(accelerator.init_handler.timeout)
        return step(accelerator, *arguments)

    monkeypatch.setattr(train_accelerate, "training_step", marked_step)
    monkeypatch.setattr(Accelerator, "num_processes", property(lambda _: 2))
    config = TrainConfig(
        str(dataset), output=tmp_path, image_size=32, width=4, blocks=1, discriminator_width=4, batch_size=2,
        mixed_precision="no", log_every=4, max_steps=4, pool_size=1, validation_pictures=0, palette=True,
        palette_weight=1.0, relight=0.5, line_sketches=0.5, reconstruction_noise=0.1, differentiable_augmentation=True,
    )  # fmt: skip
    with Reads():
        train_accelerate.train(config)
    _, *between, last = "".join(f"{event} " for event in events).split("step ")
    assert len(between) == 3
    assert set(between) == {"torch.int64 torch.int64 "}, "the counts of two averages"
    assert "torch.float32" in last, "whether to stop"
    assert patience[0].total_seconds() >= 3600, "the others wait while one scores a release"


def test_without_its_packages_training_says_what_to_install(tmp_path: Path) -> None:
    hidden = "import sys; sys.modules['accelerate'] = None; import train_accelerate"
    result = subprocess.run(
        [sys.executable, "-c", hidden], capture_output=True, text=True, cwd=Path(train_accelerate.__file__).parent
    )
    assert result.returncode == 1
    assert result.stderr.startswith("Training needs the package accelerate: pip install 'cyclegan[train]'")


@pytest.mark.parametrize("main", [True, False])
def test_a_run_whose_pictures_are_away_saves_what_it_has(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, main: bool
) -> None:
    """Whichever process meets it: the others wait for it and cannot save."""
    monkeypatch.setattr(Accelerator, "is_main_process", main)
    read = UnpairedBatches.read

    def away(batches: UnpairedBatches, step: int, part: slice) -> Any:
        if step == 2:
            raise DataError("The share is away.")
        return read(batches, step, part)

    monkeypatch.setattr(UnpairedBatches, "read", away)
    config = TrainConfig(
        str(dataset), output=tmp_path, image_size=32, width=4, blocks=1, discriminator_width=4, batch_size=2,
        mixed_precision="no", validation_pictures=0,
    )  # fmt: skip
    with pytest.raises(DataError, match=r"away\. The state after step 2 is saved: continue with --resume"):
        train_accelerate.train(config)
    assert [path.name for path in list_states(tmp_path / "states")] == ["step-00000002.safetensors"]


def test_figures_are_measured_on_the_device_of_training(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fastest device is not always that of the run, such as under ACCELERATE_USE_CPU."""
    devices = []

    class Watched(FaceSketchPipeline):
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            devices.append(arguments[3])
            super().__init__(*arguments, **settings)

    monkeypatch.setattr("cyclegan.training.epoch.FaceSketchPipeline", Watched)
    config = TrainConfig(
        str(dataset), output=tmp_path, image_size=32, width=4, blocks=1, discriminator_width=4, batch_size=2,
        mixed_precision="no", max_steps=1,
    )  # fmt: skip
    train_accelerate.train(config)
    assert devices == ["cpu", "cpu"], "for the figures, and for the release"


def test_samples_are_read_without_a_cache_of_the_whole_split(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(dataset, tmp_path / "data")
    (tmp_path / "data/test/photos/0.png").write_bytes(b"?")
    monkeypatch.setenv("CYCLEGAN_CACHE", str(tmp_path / "cache"))
    photo, sketch = sample_pictures(DataSet(str(tmp_path / "data")), 32)
    assert (len(photo), len(sketch)) == (1, 2)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("number", "advice"), [(errno.ENOSPC, r"Free some space\. Continue"), (errno.EIO, r"intact\. Continue")]
)
def test_room_is_asked_for_only_where_it_is_missing(tmp_path: Path, number: int, advice: str) -> None:
    with pytest.raises(TrainingError, match=advice), disk_errors(tmp_path, 3):
        raise OSError(number, os.strerror(number))


def test_latest_is_never_an_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a copy of a run has a folder in the link's place, and where there are no links."""
    for number in (1, 2):
        with atomic(tmp_path / f"epoch-{number}") as partial:
            partial.mkdir()
            (partial / "weights").write_text(str(number))
    (tmp_path / "latest").mkdir()
    (tmp_path / "latest/weights").write_text("1")
    point("latest", tmp_path / "epoch-2")
    assert (tmp_path / "latest").is_symlink() and (tmp_path / "latest/weights").read_text() == "2"

    def no_links(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "no links")

    monkeypatch.setattr(Path, "symlink_to", no_links)
    point("latest", tmp_path / "epoch-1")
    assert not (tmp_path / "latest").is_symlink() and (tmp_path / "latest/weights").read_text() == "1"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch-1", "epoch-2", "latest"]


def test_what_is_claimed_at_the_end_was_looked_at(
    dataset: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trained in a thread, where no signal can be handled, and then gone on with in the same process."""
    data, output = tmp_path / "data", tmp_path / "run"
    shutil.copytree(dataset, data)
    shutil.copy(data / "test/photos/1.png", data / "test/photos/1.jpg")
    settings = {"image_size": 32, "width": 4, "blocks": 1, "discriminator_width": 4, "batch_size": 2, "log_every": 2}
    config = TrainConfig(
        str(data),
        output=output,
        epochs=1,
        mixed_precision="no",
        **settings,  # type: ignore[arg-type]
    )
    thread = threading.Thread(target=train_accelerate.train, args=[config])
    thread.start()
    thread.join()
    printed = capfd.readouterr()
    weights = output / "epoch-0001"
    assert printed.out.endswith(f"Done after step 4. The weights: {weights}\n")
    assert "The networks are updated only 4 times in all" in printed.out
    assert re.search(r"No release will be scored, .* `best`: .*1\.jpg and .*1\.png have the same name", printed.err)
    assert re.search(r"^Epoch 1/1, step 4 of 4: adv=.* pairs per second$", printed.err, re.MULTILINE)
    assert "\r" not in printed.err, "there is no terminal to draw a bar in"

    shutil.rmtree(weights)
    (output / "losses.csv").write_bytes(b"")
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    train_accelerate.train(replace(config, resume="here", validation_pictures=0))
    assert FaceSketchPipeline.from_pretrained(weights, device="cpu").image_size == 32
    assert capfd.readouterr().out.endswith(f"Done after step 4. The weights: {weights}\n")
    assert handlers == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))

    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    with pytest.raises(TrainingError, match="STEPS is 4 and --gradient-accumulation is 1"):
        train_accelerate.train(replace(config, resume="here"))
