"""Server-sent events, decoded as they come: bytes in at any split, the data of whole events out. Pure.

The rules are those of the WHATWG's "Server-sent events" section 9.2.6; only `data` is kept, since no server of this
protocol says anything in the other fields.
"""

LARGEST = 16_000_000
"""Bytes of one event, after which a server is taken to be broken."""


class Decoder:
    """Feed it chunks as they arrive; lines may end in CR, LF or CRLF and be split anywhere, inside a character too."""

    __slots__ = ("_after_cr", "_begun", "_rest")

    def __init__(self) -> None:
        self._rest = bytearray()
        self._begun = self._after_cr = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of the events that `chunk` completes. Raises `ValueError` for an event over `LARGEST` bytes."""
        if self._after_cr and chunk:
            self._after_cr = False
            chunk = chunk[1:] if chunk[0] == 10 else chunk
        if b"\r" in chunk:
            self._after_cr = chunk[-1] == 13
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        old = len(self._rest)
        self._rest += chunk
        found = self._whole() if self._rest.find(b"\n\n", max(0, old - 1)) >= 0 else []
        if len(self._rest) > LARGEST:
            raise ValueError(f"an event of more than {LARGEST:,} bytes")
        return found

    def flush(self) -> list[bytes]:
        """The data of an event that the end of the stream cut short of its blank line: of its lines that are whole."""
        lines, _, _ = bytes(self._rest).rpartition(b"\n")
        self._rest = bytearray()
        return self._data(lines)

    def _whole(self) -> list[bytes]:
        *events, rest = bytes(self._rest).split(b"\n\n")
        self._rest = bytearray(rest)
        found: list[bytes] = []
        for event in events:
            if event.startswith(b"data: ") and b"\n" not in event:
                self._begun = True
                found.append(event[6:])
            else:
                found += self._data(event)
        return found

    def _data(self, lines: bytes) -> list[bytes]:
        """The data in the lines of one event, if it has any."""
        if not self._begun and lines:
            self._begun, lines = True, lines.removeprefix(b"\xef\xbb\xbf")
        found = [
            line[6:] if line.startswith(b"data: ") else line[5:]
            for line in lines.split(b"\n")
            if line.startswith(b"data:") or line == b"data"
        ]
        return [b"\n".join(found)] if found else []
