"""The types of the pickers, read by the TypeScript compiler where npm can bring one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from scailookup.web.static import HERE

USE = """
import { configure, LookupError, ModelPicker } from "./pickers.js";
configure({ token: async ({ renew }) => (renew ? "a" : null), poll: 5 });
const picker = document.createElement("scai-model-picker");
const width: number | undefined = picker.row?.context_window;
picker.addEventListener("scai-error", (event) => console.log(event.detail.fix, width));
const queue = document.querySelector("scai-queue-picker")!;
queue.scope = "scp_1";
const id: string | undefined = queue.row?.id;
const failed: LookupError | null = queue.error;
console.log(id, failed?.detail.message, new ModelPicker().src);
// @ts-expect-error a model has no bunker's image
picker.row?.image_ref.length;
// @ts-expect-error seconds are a number
configure({ poll: "5" });
"""
PATIENCE = 120  # seconds for npm: a registry that hangs must not hold up everything else
OPTIONS = "--strict --noEmit --target es2022 --module esnext --moduleResolution bundler --lib es2022,dom"


@pytest.fixture
def compiler(tmp_path: Path) -> Path:
    """tsc, brought by npm."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    # 5 is one package of plain JavaScript; what came after is a program for each kind of machine.
    command = [npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", tmp_path, "typescript@5"]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        pytest.skip("npm does not bring TypeScript in time")
    if done.returncode:
        pytest.skip("npm cannot bring TypeScript")
    return tmp_path / "node_modules" / ".bin" / "tsc"


def test_a_canvas_in_typescript_compiles(tmp_path: Path, compiler: Path) -> None:
    """Rows, events and settings have the types that the pages promise, and no looser ones."""
    shutil.copy(HERE / "pickers" / "pickers.d.ts", tmp_path)
    (tmp_path / "use.ts").write_text(USE)
    command = [compiler, *OPTIONS.split(), "use.ts", "pickers.d.ts"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stdout)
