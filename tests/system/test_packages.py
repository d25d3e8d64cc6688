"""What installs the programs that this directory needs says what it lacks."""

from __future__ import annotations

import subprocess
from pathlib import Path

SCRIPT = Path(__file__).with_name("packages.sh")


def test_without_the_programs_and_without_a_way_to_install_them_it_names_them() -> None:
    """A machine that cannot install them is told what to install."""
    done = subprocess.run(
        ["/bin/sh", str(SCRIPT)], capture_output=True, text=True, check=False, env={"PATH": "/nonexistent"}
    )
    assert done.returncode != 0
    assert "chromium" in done.stderr
