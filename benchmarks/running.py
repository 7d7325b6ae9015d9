"""The real app, started as a visitor's server is, for the tests and the benchmarks."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

APP = Path(__file__).parent.parent / "app.py"


@contextmanager
def running_app(weights: str, folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Start the app on a free port of this machine, and end it afterwards.

    Args:
        weights: as in CYCLEGAN_WEIGHTS; empty: the embedded ones. folder: gets `log.txt`, and what visitors send.

    Yields:
        Its address, when it answers, and its process.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    log = folder / "log.txt"
    settings = {
        "CYCLEGAN_WEIGHTS": weights,
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": address.split(":")[1],
        "TMPDIR": str(folder),
    }
    with log.open("w") as output, subprocess.Popen(
        [sys.executable, APP], cwd=APP.parent, env=os.environ | settings, stdout=output, stderr=output
    ) as app:  # fmt: skip
        try:
            deadline = time.monotonic() + 120
            while f"http://{address}" not in log.read_text():
                if app.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"The app does not start:\n{log.read_text()}")
                time.sleep(0.1)
            yield f"http://{address}", app
        finally:
            app.terminate()
