"""The mock's embeddings: unit vectors by the hash of each text, the same each time. Pure."""

import hashlib

from trimtab.types import Json


def reply(body: Json, model: str) -> Json:
    """The response to an embeddings call."""
    texts = body["input"] if isinstance(body.get("input"), list) else [body.get("input", "")]
    data = [
        {"object": "embedding", "index": index, "embedding": vector(str(text), body.get("dimensions") or 32)}
        for index, text in enumerate(texts)
    ]
    count = sum(len(str(text).split()) for text in texts)
    usage = {"prompt_tokens": count, "total_tokens": count}
    return {"object": "list", "data": data, "model": body.get("model", model), "usage": usage}


def vector(text: str, size: int) -> list[float]:
    """A unit vector of `size` numbers."""
    digest = hashlib.shake_256(text.encode("utf-8", "replace")).digest(size)
    values = [byte - 127.5 for byte in digest]
    norm = sum(value * value for value in values) ** 0.5
    return [value / norm for value in values]
