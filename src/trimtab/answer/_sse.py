"""Server-sent events, decoded as they come: bytes in at any split, the data of whole events out. Pure.

The rules are those of the WHATWG's "Server-sent events" section 9.2.6; only `data` is kept, since no server of this
protocol says anything in the other fields.
"""

LARGEST = 16_000_000
"""Bytes of one event, after which a server is taken to be broken."""


class Decoder:
    """Feed it chunks as they arrive; lines may end in CR, LF or CRLF and be split anywhere, inside a character too."""

    __slots__ = ("_after_cr", "_begun", "_data", "_rest", "_size")

    def __init__(self) -> None:
        self._rest = bytearray()
        self._data: list[bytes] = []
        self._size = 0
        self._begun = self._after_cr = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of the events that `chunk` completes. Raises `ValueError` for an event over `LARGEST` bytes."""
        if self._after_cr and chunk:
            self._after_cr = False
            chunk = chunk[1:] if chunk[0] == 10 else chunk
        if b"\r" in chunk:
            self._after_cr = chunk[-1] == 13
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        self._rest += chunk
        if len(self._rest) + self._size > LARGEST:
            raise ValueError(f"an event of more than {LARGEST:,} bytes")
        return self._lines() if b"\n" in chunk else []

    def flush(self) -> list[bytes]:
        """The data of an event that the end of the stream cut short of its blank line, if all its lines are whole."""
        found, self._data, self._size = [b"\n".join(self._data)] if self._data else [], [], 0
        return found

    def _lines(self) -> list[bytes]:
        events: list[bytes] = []
        *lines, rest = bytes(self._rest).split(b"\n")
        self._rest = bytearray(rest)
        for line in lines:
            if not self._begun:
                self._begun, line = True, line.removeprefix(b"\xef\xbb\xbf")
            if line.startswith(b"data:"):
                self._keep(line[6:] if line.startswith(b"data: ") else line[5:])
            elif line == b"data":
                self._keep(b"")
            elif not line:
                events += self.flush()
        return events

    def _keep(self, data: bytes) -> None:
        self._data.append(data)
        self._size += len(data) + 1
