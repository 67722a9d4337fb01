"""The client of `support.warm`: `python -IS warm_client.py ADDRESS PYTHON WORDS…`. It is quick to load."""

import json
import os
import signal
import socket
import sys
from typing import Any

_STREAMS = (0, 1, 2)
_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def ready(loader: socket.socket, address: str) -> bool:
    """Wait until the loader says that it is ready, if there is one."""
    try:
        loader.connect(address)
        return loader.recv(1) == b"+"
    except OSError:
        return False


def hand_over(loader: socket.socket, words: list[str]) -> None:
    """Give the program away, with the streams: nobody waits for the end of ours."""
    order = json.dumps([words, dict(os.environ), os.getcwd()]).encode()
    socket.send_fds(loader, [b" "], _STREAMS)
    loader.sendall(order + b"\n")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for each in _STREAMS:
        os.dup2(nowhere, each)


def pass_on(loader: socket.socket) -> None:
    """Let signals reach the program."""

    def handler(number: int, frame: Any) -> None:
        loader.sendall(bytes([number]))

    for each in _PASSED_ON:
        signal.signal(each, handler)


def end(loader: socket.socket) -> None:
    """End as the program ended."""
    code = int(loader.makefile().readline() or 255)
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def main() -> None:
    """Run the program; by the interpreter itself, where there is no loader."""
    address, python, *words = sys.argv[1:]
    loader = socket.socket(socket.AF_UNIX)
    if not ready(loader, address):
        os.execv(python, [python, *words])
    hand_over(loader, words)
    pass_on(loader)
    end(loader)


main()
