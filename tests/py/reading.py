"""Settings of a text that stands for a file, and the error that it gives instead."""

import pytest

from pynatsd import conf, settings
from pynatsd.conf import ConfError
from pynatsd.settings import Settings


def read(text: str, *, strict: bool = False) -> Settings:
    return settings.read(conf.parse(text, "f.conf"), strict=strict)


def error(text: str, *, strict: bool = False) -> str:
    with pytest.raises(ConfError) as caught:
        read(text, strict=strict)
    return str(caught.value)
