"""What lies in configs/ is true of the program that it configures."""

import shlex
from pathlib import Path

from pynatsd import cli

CONFIGS = Path(__file__).parents[2] / "configs"


def test_the_units_command_line_is_accepted() -> None:
    text = (CONFIGS / "pynatsd.service").read_text()
    (line,) = [text for text in text.splitlines() if text.startswith("ExecStart=")]
    program, *words = shlex.split(line.removeprefix("ExecStart="))
    assert Path(program).name == "pynatsd"
    options = cli.parse(words)
    assert (options.host, options.port, options.logtime) == ("0.0.0.0", 4222, False)
