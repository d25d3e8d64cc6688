"""What this directory needs is there."""

from __future__ import annotations

import subprocess
from pathlib import Path

SCRIPT = Path(__file__).with_name("packages.sh")


def test_everything_is_there_once_the_script_ran() -> None:
    """With everything there the script says nothing and ends with 0."""
    done = subprocess.run(["sh", str(SCRIPT)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_without_the_programs_and_without_a_way_to_install_them_it_names_them() -> None:
    """A machine that cannot install them is told what to install."""
    done = subprocess.run(
        ["/bin/sh", str(SCRIPT)], capture_output=True, text=True, check=False, env={"PATH": "/nonexistent"}
    )
    assert done.returncode != 0
    assert "chromium" in done.stderr
