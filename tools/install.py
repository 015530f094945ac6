"""
Build the package from a clean copy and install it beside the running interpreter.

A copy, because builds with other flags may have left their objects in the tree, and
several environments may build at once. The flags come from the environment, see
csrc/build_core.py; the build tools have to be installed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")
FOLDERS = ("csrc", "pynatsd")
LEFT_BEHIND = shutil.ignore_patterns("_core.c", "*.so", "*.o", "__pycache__")


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="pynatsd-build-") as name:
        copy = Path(name)
        for part in PARTS:
            if (ROOT / part).exists():
                shutil.copy2(ROOT / part, copy)
        for folder in FOLDERS:
            shutil.copytree(ROOT / folder, copy / folder, ignore=LEFT_BEHIND)
        pip = [sys.executable, "-m", "pip", "install", "--quiet"]
        wanted = [f"{copy}[test]", "--no-build-isolation"]
        return subprocess.run([*pip, *wanted], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
