"""The mock's files and batches, kept in memory: each line of a batch is answered as the mock answers it by itself."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias
from urllib.parse import parse_qs

import msgspec

from trimtab.types import Json

Ask: TypeAlias = Callable[[str, bytes], Awaitable[tuple[int, bytes]]]
"""The mock's own answer to a POST: path and body to status and body."""
Reply: TypeAlias = tuple[int, str, bytes]
"""Status, type and body."""
EXPIRY = 86400

_encode, _decode = msgspec.json.Encoder().encode, msgspec.json.Decoder().decode


class NoSuchError(Exception):
    """There is no such entry."""


class WrongError(Exception):
    """The real server would refuse it."""


class Shelf:
    """What one mock keeps. `passed` are the requests that came here, less their bodies."""

    def __init__(self, ask: Ask, calls: list[Json]) -> None:
        self._ask, self.passed = ask, calls
        self._files: dict[str, tuple[Json, bytes]] = {}
        self._batches: dict[str, Json] = {}
        self._results: dict[str, bytes] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._made = 0

    async def handle(self, scope: Any, body: bytes) -> Reply:
        """The reply to a request for a path that `mine` names."""
        method, path, query = scope["method"], scope["path"], parse_qs(scope["query_string"].decode())
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self.passed.append({"method": method, "path": path, "query": query, "headers": headers, "bytes": len(body)})
        anthropic = path.startswith("/v1/messages/")
        try:
            found = self._found(method, path, {name: value[-1] for name, value in query.items()}, headers, body)
        except (NoSuchError, WrongError) as error:
            status = 404 if isinstance(error, NoSuchError) else 400
            kind = "not_found_error" if anthropic and status == 404 else "invalid_request_error"
            told: Json = {"message": str(error), "type": kind}
            told = {"type": "error", "error": told} if anthropic else {"error": {**told, "param": None, "code": None}}
            return status, "application/json", _encode(told)
        if isinstance(found, bytes):
            return 200, "application/binary", found
        return 200, "application/json", _encode(found)

    def _found(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> Json | bytes:
        parts = path.removeprefix("/v1/").removeprefix("messages/").split("/")
        if (method, *parts) == ("POST", "files"):
            return self._file(headers, body)
        if (method, *parts) == ("POST", "batches"):
            anthropic = "messages" in path
            return self._message_batch(_decode(body), headers) if anthropic else self._batch(_decode(body))
        if len(parts) == 1:
            return self._listed(path, query)
        return self._of_file(method, *parts[1:]) if parts[0] == "files" else self._of_batch(method, *parts[1:])

    def _listed(self, path: str, query: Mapping[str, str]) -> Json:
        if path == "/v1/files":
            entries = [file for file, _ in self._files.values() if query.get("purpose") in (None, file["purpose"])]
            return _page(entries, query, "after")
        mark, cursor = ("type", "after_id") if "messages" in path else ("object", "after")
        return _page([one for one in self._batches.values() if mark in one], query, cursor)

    def _of_file(self, method: str, name: str, last: str = "") -> Json | bytes:
        file, data = self._one(name)
        match method, last:
            case "GET", "":
                return file
            case "GET", "content":
                return data
            case "DELETE", "":
                del self._files[name]
                return {"id": name, "object": "file", "deleted": True}
        raise NoSuchError(f"There is no {method} {last}.")

    def _of_batch(self, method: str, name: str, last: str = "") -> Json | bytes:
        batch = self._of(name)
        match method, last:
            case "GET", "":
                return batch
            case "POST", "cancel":
                return self._cancelled(batch)
            case "GET", "results" if batch.get("results_url"):
                return self._results[name]
            case "DELETE", "" if batch.get("processing_status") == "ended":
                del self._batches[name]
                return {"id": name, "type": "message_batch_deleted"}
        raise WrongError(f"{method} {last} cannot be done with this batch now.")

    def _id(self, prefix: str) -> str:
        self._made += 1
        return f"{prefix}mock{self._made:06d}"

    def _one(self, name: str) -> tuple[Json, bytes]:
        if name not in self._files:
            raise NoSuchError(f"No such File object: {name}")
        return self._files[name]

    def _of(self, name: str) -> Json:
        if name not in self._batches:
            raise NoSuchError(f"No such batch: {name}")
        return self._batches[name]

    def _file(self, headers: Mapping[str, str], body: bytes) -> Json:
        fields = form(headers.get("content-type", ""), body)
        if "file" not in fields or "purpose" not in fields:
            raise WrongError("file and purpose are required")
        return self._put(fields["file"][1], fields["file"][0], fields["purpose"][1].decode())

    def _put(self, data: bytes, filename: str, purpose: str) -> Json:
        file: Json = {
            "id": self._id("file-"), "object": "file", "bytes": len(data), "created_at": int(time.time()),
            "filename": filename, "purpose": purpose, "status": "processed",
        }  # fmt: skip
        self._files[file["id"]] = (file, data)
        return file

    def _batch(self, given: Json) -> Json:
        _, data = self._one(given["input_file_id"])
        now = int(time.time())
        batch: Json = {
            "id": self._id("batch_"), "object": "batch", "endpoint": given["endpoint"], "errors": None,
            "input_file_id": given["input_file_id"], "completion_window": given["completion_window"],
            "status": "in_progress", "output_file_id": None, "error_file_id": None, "created_at": now,
            "in_progress_at": now, "expires_at": now + EXPIRY, "completed_at": None, "cancelled_at": None,
            "request_counts": {"total": 0, "completed": 0, "failed": 0}, "metadata": given.get("metadata"),
        }  # fmt: skip
        self._batches[batch["id"]] = batch
        self._running[batch["id"]] = asyncio.create_task(self._run(batch, [_decode(x) for x in data.splitlines() if x]))
        return batch

    async def _run(self, batch: Json, lines: list[Json]) -> None:
        counts = batch["request_counts"]
        counts["total"] = len(lines)
        good, bad = list[bytes](), list[bytes]()
        for i, line in enumerate(lines):
            status, body = await self._ask(line["url"], _encode(line["body"]))
            said = {"status_code": status, "request_id": f"req_{i}", "body": msgspec.Raw(body)}
            into, name = (good, "completed") if status == 200 else (bad, "failed")
            into.append(_encode({"id": f"resp_{i}", "custom_id": line["custom_id"], "response": said, "error": None}))
            counts[name] += 1
        for name, found in (("output_file_id", good), ("error_file_id", bad)):
            if found:
                batch[name] = self._put(b"\n".join(found) + b"\n", "batch.jsonl", "batch_output")["id"]
        batch |= {"status": "completed", "completed_at": int(time.time())}

    def _message_batch(self, given: Json, headers: Mapping[str, str]) -> Json:
        name, now = self._id("msgbatch_"), datetime.now(UTC).isoformat()
        batch: Json = {
            "id": name, "type": "message_batch", "processing_status": "in_progress", "created_at": now,
            "expires_at": now, "ended_at": None, "archived_at": None, "cancel_initiated_at": None, "results_url": None,
            "request_counts": {
                "processing": len(given["requests"]), "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0,
            },
        }  # fmt: skip
        self._batches[name] = batch
        there = f"http://{headers['host']}/v1/messages/batches/{name}/results"
        self._running[name] = asyncio.create_task(self._run_messages(batch, given["requests"], there))
        return batch

    async def _run_messages(self, batch: Json, requests: list[Json], there: str) -> None:
        counts, lines = batch["request_counts"], list[bytes]()
        try:
            for one in requests:
                status, body = await self._ask("/v1/messages", _encode(one["params"]))
                key, name = ("message", "succeeded") if status == 200 else ("error", "errored")
                lines.append(_encode({"custom_id": one["custom_id"], "result": {"type": name, key: msgspec.Raw(body)}}))
                counts["processing"] -= 1
                counts[name] += 1
        finally:
            counts |= {"processing": 0, "canceled": counts["processing"]}
            for one in requests[len(lines) :]:
                lines.append(_encode({"custom_id": one["custom_id"], "result": {"type": "canceled"}}))
            self._results[batch["id"]] = b"\n".join(lines) + b"\n"
            ended = datetime.now(UTC).isoformat()
            batch |= {"processing_status": "ended", "ended_at": ended, "results_url": there}

    def _cancelled(self, batch: Json) -> Json:
        self._running[batch["id"]].cancel()
        if "object" in batch and batch["status"] == "in_progress":
            batch |= {"status": "cancelled", "cancelled_at": int(time.time())}
        elif batch.get("processing_status") == "in_progress":
            batch |= {"processing_status": "canceling", "cancel_initiated_at": datetime.now(UTC).isoformat()}
        return batch


async def asked(app: Any, path: str, body: bytes) -> tuple[int, bytes]:
    """A call of the mock to itself, which nobody hangs up: status and body."""
    sent: list[Any] = []
    said = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        return said.pop() if said else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "http", "path": path, "headers": [(b"anthropic-version", b"batch")]}, receive, send)
    return sent[0]["status"], b"".join(message["body"] for message in sent[1:])


def mine(path: str) -> bool:
    """Whether a path is one of files or batches."""
    starts = ("/v1/files", "/v1/batches", "/v1/messages/batches")
    return any(path == start or path.startswith(f"{start}/") for start in starts)


def form(kind: str, body: bytes) -> dict[str, tuple[str, bytes]]:
    """The fields of a multipart form (RFC 7578), each with its file's name. Raises `WrongError`."""
    head, _, boundary = kind.partition("boundary=")
    if not head.startswith("multipart/form-data") or not boundary:
        raise WrongError("the body is no multipart/form-data")
    found: dict[str, tuple[str, bytes]] = {}
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary.strip('"').encode())[1:-1]:
        lines, _, data = part.partition(b"\r\n\r\n")
        names = {key: value.strip('"') for key, value in
                 (item.split("=", 1) for item in lines.decode().replace("\r\n", ";").replace("; ", ";").split(";")
                  if "=" in item)}  # fmt: skip
        found[names.get("name", "")] = (names.get("filename", ""), data)
    return found


def _page(entries: list[Json], query: Mapping[str, str], cursor: str) -> Json:
    """A page, the newest first, from after the entry that the cursor names, or before the one of `before_id`."""
    entries = entries[::-1] if query.get("order", "desc") == "desc" else entries
    ids, most = [one["id"] for one in entries], int(query.get("limit", 20))
    if "before_id" in query:
        end = ids.index(query["before_id"])
        shown, more = entries[max(0, end - most) : end], end > most
    else:
        start = ids.index(query[cursor]) + 1 if cursor in query else 0
        shown, more = entries[start : start + most], len(entries) > start + most
    ends = {"first_id": shown[0]["id"], "last_id": shown[-1]["id"]} if shown else {"first_id": None, "last_id": None}
    return {**({"object": "list"} if cursor == "after" else {}), "data": shown, **ends, "has_more": more}
