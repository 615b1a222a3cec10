"""The audit chain: what people and administrators did, one row each, which nobody changes unseen.

The hash of a row is SHA-256 of the hash before it and of the row. A row is appended in the transaction of what it
tells of, so neither is there without the other; writing transactions follow one another, so the chain has one end
however many processes append. After the commit that end, the head, is written outside of the database too
(`store.head`): a table that was cut short or written anew does not lead to it. What was done is kept as the SHA-256
of its JSON alone.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from sqlalchemy import Connection, select

from trimtab.errors import StorageError
from trimtab.store import head
from trimtab.store.head import ZERO, Head
from trimtab.store.tables import audit

if TYPE_CHECKING:
    from trimtab.store.engine import Store

T = TypeVar("T")

LOG = logging.getLogger("trimtab.audit")
LONGEST = 200
"""Characters that are kept of who did it and of what it was done to."""
TYPES = (int, int, str, str, str, str)
"""Of a row's columns: SQLite would let others in, and bytes have the JSON of a text."""


class Entry(msgspec.Struct, frozen=True):
    """One row; `at` in microseconds since 1970, `payload` the SHA-256 of what was done, both hashes in hexadecimal."""

    seq: int
    at: int
    actor: str
    action: str
    subject: str
    payload: str
    hash: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found. `fault` is empty where all is well, else it says what is wrong first; `row` is where.

    `head` is the chain's end, `notes` are what is well and yet should be known.
    """

    entries: int
    head: Head
    fault: str = ""
    row: int | None = None
    notes: tuple[str, ...] = ()


def append(connection: Connection, actor: str, action: str, subject: str, payload: Any, heads: Iterable[Path]) -> Entry:
    """Add a row in the transaction of what it tells of; `payload` is hashed and not kept. Raises `StorageError`.

    A chain's first row is preceded by a head that says that there is none: from then on a missing head is a finding.
    """
    last = _end(connection)
    if not last.seq:
        _begin(heads)
    told = (last.seq + 1, time.time_ns() // 1000, _kept(actor), action, _kept(subject), digest(payload))
    entry = Entry(*told, link(last.hash, *told))
    connection.execute(audit.insert().values(**msgspec.structs.asdict(entry)))
    return entry


def link(before: str, seq: int, at: int, actor: str, action: str, subject: str, payload: str) -> str:
    """The hash of a row: of the hash before it and the row as a JSON array, in UTF-8, in this order."""
    row = msgspec.json.encode([before, seq, at, actor, action, subject, payload])
    return hashlib.sha256(row).hexdigest()


def digest(payload: Any) -> str:
    """SHA-256 of a payload's JSON with its keys in order."""
    return hashlib.sha256(msgspec.json.encode(payload, order="deterministic")).hexdigest()


def entering(store: "Store", actor: str, action: str, subject: str, payload: Any) -> Callable[[Connection], Entry]:
    """An act that is nothing but its row."""
    return lambda connection: append(connection, actor, action, subject, payload, store.heads)


async def acted(store: "Store", act: Callable[[Connection], T]) -> T:
    """Call `act`, which appends what it does, in a transaction; row and head are on disk once this returns.

    Raises as `Store.transact` does.
    """
    done = await store.transact(act)
    await publish(store)
    return done


async def publish(store: "Store") -> None:
    """Bring the heads to the chain's end.

    What the head tells of is on disk already, so a fault here is logged and said, and undoes nothing: the head is
    behind until the next time. A head that the chain does not lead to is left as it is: it is the proof.
    """
    try:
        hindered = await store.transact(lambda connection: _advance(connection, store.heads))
    except StorageError as error:
        hindered = [error.message]
    for why in hindered:
        LOG.error("the audit head was not written")
        store.say(f"{why} See `trimtab audit verify`.")


async def accept(store: "Store", actor: str) -> Entry:
    """Append that the chain is taken as it stands, and write every head anew. Raises `StorageError`.

    For after a backup was put back, and for a head that was named later.
    """

    def accepted(connection: Connection) -> Entry:
        found = {str(path): msgspec.to_builtins(_read(path)[0]) for path in store.heads}
        return append(connection, actor, "audit.accepted", store.path.name, found, store.heads)

    def written(connection: Connection) -> list[str]:
        return [fault for path in store.heads if (fault := _written(path, _end(connection)))]

    entry = await store.transact(accepted)
    if faults := await store.transact(written):
        raise StorageError(" ".join(faults), "Make its folder exist and writable.")
    return entry


async def entries(store: "Store", last: int | None = None) -> tuple[Entry, ...]:
    """The rows, oldest first; the `last` so many."""
    query = select(audit).order_by(audit.c.seq.desc()).limit(last) if last else select(audit).order_by(audit.c.seq)
    rows = await store.read(query)
    return tuple(_entry(row) for row in (reversed(rows) if last else rows))


async def verify(store: "Store", elsewhere: str = "") -> Report:
    """Follow the chain from its first row, and look for each head in it; `elsewhere` is the hash of one kept apart."""
    chain = await entries(store)
    report = follow(chain)
    if report.fault:
        return report
    hashes = [ZERO, *(entry.hash for entry in chain)]
    notes: list[str] = []
    for path in store.heads if chain else ():
        found, fault = _read(path)
        if fault := fault or _against(found, len(chain), hashes.__getitem__, path):
            return msgspec.structs.replace(report, fault=fault)
        if found and (behind := len(chain) - found.seq):
            notes.append(
                f"{path} is {behind} behind the chain, which goes on from it: a process ended before it wrote."
            )
    if elsewhere and elsewhere.lower() not in hashes[1:]:
        fault = f"No row has the hash {elsewhere}: rows were cut off at the end, or the table was written anew."
        return msgspec.structs.replace(report, fault=fault)
    return msgspec.structs.replace(report, notes=tuple(notes))


def follow(chain: Iterable[Entry]) -> Report:
    """Whether each row follows from the one before it; the first that does not."""
    last = Head(seq=0, hash=ZERO)
    for entry in chain:
        if fault := _broken(last, entry):
            return Report(entries=last.seq, head=last, fault=fault, row=entry.seq)
        last = Head(seq=entry.seq, hash=entry.hash)
    return Report(entries=last.seq, head=last)


def _broken(last: Head, entry: Entry) -> str:
    """Why a row does not follow from the one before it."""
    if entry.seq != last.seq + 1:
        return f"Row {last.seq + 1} is missing: after {last.seq} comes {entry.seq}."
    told = (entry.seq, entry.at, entry.actor, entry.action, entry.subject, entry.payload)
    if tuple(map(type, told)) != TYPES or link(last.hash, *told) != entry.hash:
        return f"Row {entry.seq} does not follow from row {last.seq}: one of the two was changed, or came in between."
    return ""


def _against(found: Head | None, end: int, hash_of: Callable[[int], str | None], where: Path) -> str:
    """What is wrong with a head of a chain with `end` rows."""
    if found is None:
        return f"{where} is missing, and the chain has {end} rows: it was taken away, or named later."
    if found.seq > end:
        return f"{where} tells of row {found.seq}, and the chain ends at {end}: rows were cut off."
    if hash_of(found.seq) != found.hash:
        return f"Row {found.seq} is not the one that {where} tells of: the table was written anew."
    return ""


def _advance(connection: Connection, heads: Iterable[Path]) -> list[str]:
    """In a writing transaction, so that of several processes none writes an older head over a newer one."""
    last = _end(connection)

    def hash_of(seq: int) -> str | None:
        return connection.execute(select(audit.c.hash).where(audit.c.seq == seq)).scalar() if seq else ZERO

    hindered: list[str] = []
    for path in heads if last.seq else ():
        found, fault = _read(path)
        fault = fault or _against(found, last.seq, hash_of, path)
        if not fault and found != last:
            fault = _written(path, last)
        hindered += [fault] if fault else []
    LOG.info("audit head %d %s", last.seq, last.hash)
    return hindered


def _begin(heads: Iterable[Path]) -> None:
    """Write that there is no row yet, where there is no head. Raises `StorageError`."""
    for path in heads:
        if not path.exists() and (fault := _written(path, Head(seq=0, hash=ZERO))):
            raise StorageError(fault, "Make its folder exist and writable, or name another [audit] head.")


def _written(path: Path, last: Head) -> str:
    """Write a head; what hindered it."""
    try:
        head.write(path, last)
    except OSError as error:
        return f"{path} cannot be written: {error.strerror}."
    return ""


def _read(path: Path) -> tuple[Head | None, str]:
    """A head, None where there is no file; and what is wrong with it."""
    try:
        return head.read(path), ""
    except (OSError, ValueError) as error:
        return None, f"{path} cannot be read: {error}."


def _end(connection: Connection) -> Head:
    row = connection.execute(select(audit.c.seq, audit.c.hash).order_by(audit.c.seq.desc()).limit(1)).first()
    return Head(seq=row.seq, hash=row.hash) if row else Head(seq=0, hash=ZERO)


def _entry(row: Any) -> Entry:
    return Entry(*(getattr(row, name) for name in Entry.__struct_fields__))


def _kept(text: str) -> str:
    return text[:LONGEST].encode("utf-8", "replace").decode()
