"""
pynatsd: a NATS server in a Python process.

    with pynatsd.Server(port=0) as server:
        print(server.url)
"""

from pynatsd._version import VERSION as __version__
from pynatsd.core import CoreError, Stats
from pynatsd.options import Options
from pynatsd.server import ListenError, Server

__all__ = ["CoreError", "ListenError", "Options", "Server", "Stats", "__version__"]
