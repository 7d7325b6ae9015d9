"""What keeps a run from harm: its folder is its own, signals end it in order, and what cannot work fails at once."""

import os
import re
import signal
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import torch
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from accelerate.utils import parse_flag_from_env
from filelock import FileLock, Timeout

from ..files import FULL, is_text, readable
from . import TrainingError

NO_MEMORY = re.compile(
    "can't allocate memory|not enough memory|out of memory|bad_alloc|could not create a memory", re.I
)
PLUGINS = {  # what `accelerate config` may turn on, and the variable that says so
    "DeepSpeed": "ACCELERATE_USE_DEEPSPEED", "FSDP": "ACCELERATE_USE_FSDP", "Megatron-LM": "ACCELERATE_USE_MEGATRON_LM",
    "a parallelism configuration": "ACCELERATE_USE_PARALLELISM_CONFIG",
}  # fmt: skip
HANG_UP = getattr(signal, "SIGHUP", None)  # of a terminal or a connection that was closed; Windows has none
IMPATIENT = 1.0  # seconds: launchers pass Ctrl-C on, so what comes sooner is the same wish


@contextmanager
def own(output: Path) -> Iterator[None]:
    """Keep a run's folder for this process; the lock of a process that was killed is free.

    Raises:
        TrainingError: another run uses the folder, or it cannot be written.
    """
    if not is_text(output):
        raise TrainingError(f"--output must be a UTF-8 name without NUL; got {readable(output)}. Choose another one.")
    try:
        output.mkdir(parents=True, exist_ok=True)
        for folder in (output, output / "states"):
            if folder.exists():
                tempfile.TemporaryFile(dir=folder).close()
        lock = FileLock(output / ".lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise TrainingError(f"Another run is using {output}. Wait until it ends, or choose another --output.") from None
    except OSError as error:
        raise TrainingError(
            f"--output must be a writable folder; got {output} ({error.strerror}). Choose another one."
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def on_signals(handle: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Handle SIGTERM, Ctrl-C and, unless `nohup` ignores it, SIGHUP until the block ends.

    In a thread, where Python forbids it, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [signal.SIGTERM, signal.SIGINT]
    if HANG_UP is not None and signal.getsignal(HANG_UP) != signal.SIG_IGN:
        numbers.append(HANG_UP)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """A function that says whether one of these signals came, so that a run can save its state.

    A second one ends it at once.

    Raises:
        KeyboardInterrupt: the second one came.
    """
    asked: list[float] = []  # no Event: two signals at once could wait for its lock for ever

    def handle(number: int, _: object) -> None:
        if number == HANG_UP:
            _write_to_nobody()
        asked.append(time.monotonic())
        if asked[-1] - asked[0] > IMPATIENT:
            raise KeyboardInterrupt

    with on_signals(handle):
        yield lambda: bool(asked)


def _write_to_nobody() -> None:
    """Let what is printed vanish where a terminal or a pipe took it: to write to a closed one is an error."""
    nobody = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.dup2(nobody, descriptor)
    os.close(nobody)


@contextmanager
def disk_errors(output: Path, step: int) -> Iterator[None]:
    """Say in a sentence why something could not be written after a step.

    Raises:
        TrainingError: in place of an OSError.
    """
    try:
        yield
    except OSError as error:
        room = "Free some space. " if error.errno in FULL else ""
        raise TrainingError(
            f"Step {step} could not be saved in {output}: {error}. Everything saved earlier is intact. "
            f"{room}Continue with --resume."
        ) from None


@contextmanager
def memory_errors(parts: int) -> Iterator[None]:
    """Say in a sentence what needs less memory, where there was too little.

    Args:
        parts: the accumulated parts of a batch.

    Raises:
        TrainingError: in place of any library's own error.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and not NO_MEMORY.search(str(error)):
            raise
        reason = str(error).partition("\n")[0] or "out of memory"
        raise TrainingError(
            f"There is not enough memory for this batch ({reason}). Use --gradient-accumulation {2 * parts}, which "
            "gives the same result, or a smaller --batch-size or --image-size."
        ) from None


def check_plugins() -> None:
    """Refuse the ways of dividing a model that these networks were not made for.

    Raises:
        TrainingError: the configuration of `accelerate launch` turns one on.
    """
    for name, variable in PLUGINS.items():
        if parse_flag_from_env(variable):
            raise TrainingError(
                f"{name} is not supported, as the networks are small. Launch on one device or with --multi_gpu, and "
                f"turn {name} off in `accelerate config` (or unset {variable})."
            )


def check_tracker(name: str | None) -> None:
    """Refuse a tracker that would log nothing.

    Raises:
        TrainingError: Accelerate does not know it, or its package is not installed.
    """
    known = sorted(map(str, LOGGER_TYPE_TO_CLASS))
    if name is not None and name not in known:
        raise TrainingError(f"--tracker must be one of {', '.join(known)}; got {name}.")
    if name is not None and name not in map(str, get_available_trackers()):
        raise TrainingError(f"--tracker {name} needs its package: pip install {name.replace('_', '-')}")
