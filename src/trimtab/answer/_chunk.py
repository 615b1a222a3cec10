"""The commonest chunk of a stream, read straight into its type: one choice that says a piece of text. Pure.

A stream is thousands of these, and decoding into a type checks them while it reads: a third of the work of looking at
each field afterwards. Any other chunk is `None` here, and `_assembly` reads it.
"""

from typing import Annotated, Any

import msgspec

KEPT = ("system_fingerprint", "service_tier", "obfuscation")
"""What an answer keeps of a chunk, beside what its choice says."""


class Piece(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A delta that is text and nothing else; fields that servers send empty are named, any other is not read here."""

    content: str | None = None
    role: str | None = None
    refusal: None = None
    tool_calls: None = None
    function_call: None = None
    reasoning: None = None
    reasoning_content: None = None


class One(msgspec.Struct, frozen=True):
    """The choice; what else a server says of it is not kept, as of every choice."""

    delta: Piece
    index: Annotated[int, msgspec.Meta(ge=0)] = 0
    finish_reason: str | None = None
    logprobs: None = None


class Plain(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The chunk. Its first four fields are the gateway's to say; `KEPT` are the answer's."""

    choices: tuple[One]
    id: Any = None
    object: Any = None
    created: Any = None
    model: Any = None
    usage: None = None
    system_fingerprint: Any = None
    service_tier: Any = None
    obfuscation: Any = None


_decode = msgspec.json.Decoder(Plain).decode


def plain(event: bytes) -> Plain | None:
    """The chunk, if it is one of these."""
    try:
        return _decode(event)
    except msgspec.DecodeError:  # a ValidationError is one
        return None
