"""A name server whose only name has the addresses that a test gives it."""

import socket
import threading
from collections.abc import Iterable
from typing import Self

_HEADER_BYTES = 12
_ANSWER = b"\xc0\x0c" + b"\x00\x01" + b"\x00\x01" + (600).to_bytes(4, "big") + b"\x00\x04"
"""Pointer to the question's name, type A, class IN, seconds to live, length."""


class NameServer:
    """Answers each question for IPv4 addresses with `addresses`; without any, the name is unknown.

    The context manager runs it on a port of 127.0.0.1.
    """

    def __init__(self, addresses: Iterable[str] = ()) -> None:
        self.addresses = list(addresses)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        while True:
            question, client = self._socket.recvfrom(512)
            if not question:
                return
            self._socket.sendto(self._answer(question), client)

    def _answer(self, question: bytes) -> bytes:
        addresses = list(self.addresses)
        # A response, for which recursion is available; code 3 says that the name is unknown.
        flags = b"\x81\x80" if addresses else b"\x81\x83"
        counts = b"\x00\x01" + len(addresses).to_bytes(2, "big") + b"\x00\x00\x00\x00"
        answers = (_ANSWER + socket.inet_aton(address) for address in addresses)
        return question[:2] + flags + counts + question[_HEADER_BYTES:] + b"".join(answers)
