"""Scripts in processes of their own, forked from one that has imported torch: importing takes longer than most runs."""

import multiprocessing
import os
import resource
import runpy
import sys
import tempfile
from multiprocessing.process import BaseProcess
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired
from typing import Any

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["train_accelerate", "forked"])


class Forked:
    """`python script arguments`, started. `largest_file` in bytes is where the disk is full."""

    def __init__(
        self, script: str | Path, *arguments: str | Path, env: dict[str, str], largest_file: int | None = None
    ) -> None:
        self.arguments = [str(script), *map(str, arguments)]
        self._folder = tempfile.TemporaryDirectory()
        self._printed = [Path(self._folder.name) / name for name in ("stdout", "stderr")]
        given = self.arguments, env, largest_file, *map(str, self._printed)
        self._process: BaseProcess = SERVER.Process(target=_run, args=given)
        self._process.start()

    def wait(self, timeout: float = 240) -> CompletedProcess[str]:
        self._process.join(timeout)
        if self._process.exitcode is None:
            self._process.kill()
            raise TimeoutExpired(self.arguments, timeout)
        code, printed = self._process.exitcode, [file.read_text() for file in self._printed]
        self._folder.cleanup()
        return CompletedProcess(self.arguments, code, *printed)


def run_forked(script: str | Path, *arguments: str | Path, **options: Any) -> CompletedProcess[str]:
    return Forked(script, *arguments, **options).wait()


def _run(arguments: list[str], env: dict[str, str], largest_file: int | None, *printed: str) -> None:
    for descriptor, file in enumerate(printed, 1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), descriptor)
    os.environ |= env
    sys.argv[:] = arguments
    if largest_file:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    try:
        runpy.run_path(arguments[0], run_name="__main__")
    finally:
        sys.stdout.flush()
