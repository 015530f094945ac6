"""A server embedded in a program that computes: what it asks of the interpreter lock.

The computing thread never sleeps and makes no system call, so Python takes the lock
from it only when its switch interval (5 ms) has passed.
"""

from __future__ import annotations

import resource
import signal
import sys
import threading

import pynatsd

STOP = {signal.SIGTERM, signal.SIGINT}


def compute(done: threading.Event) -> None:
    number = 1
    while not done.is_set():
        for _ in range(10_000):
            number = number * 1103515245 % 2147483647


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    done = threading.Event()
    computing = threading.Thread(target=compute, args=(done,))
    with pynatsd.Server(host="127.0.0.1", port=0, threads=int(sys.argv[1])) as server:
        computing.start()
        print(f"Listening for client connections on 127.0.0.1:{server.port}")
        print("Server is ready", flush=True)
        signal.sigwait(STOP)
        done.set()
        computing.join()
