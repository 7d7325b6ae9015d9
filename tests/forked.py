"""Scripts in processes of their own, forked from one that has imported torch: importing takes longer than most runs."""

import multiprocessing
import os
import resource
import runpy
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired
from typing import Any

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["train_accelerate", "forked"])


class Forked:
    """`python script arguments`, or `python -m module arguments`, started. `largest_file`: bytes that fill the disk."""

    def __init__(
        self, *arguments: str | Path, env: Mapping[str, str] = os.environ, largest_file: int | None = None
    ) -> None:
        self.arguments = [*map(str, arguments)]
        self._folder = tempfile.TemporaryDirectory()
        self._printed = [Path(self._folder.name) / name for name in ("stdout", "stderr")]
        given = self.arguments, dict(env), largest_file, *map(str, self._printed)
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


def run_forked(*arguments: str | Path, **options: Any) -> CompletedProcess[str]:
    return Forked(*arguments, **options).wait()


def _run(arguments: list[str], env: Mapping[str, str], largest_file: int | None, *printed: str) -> None:
    for descriptor, file in enumerate(printed, 1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), descriptor)
    os.environ |= env
    if largest_file:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    try:
        if arguments[0] == "-m":
            sys.argv[:] = arguments[1:]
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv[:] = arguments
            runpy.run_path(arguments[0], run_name="__main__")
    finally:
        sys.stdout.flush()
