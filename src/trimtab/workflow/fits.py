"""Whether a value is what a JSON Schema says."""

from typing import Any

import msgspec

from trimtab.types import Json
from trimtab.verify._counted import TooMuchWorkError, allowed, fault, told
from trimtab.verify.schema import KEPT

STEPS = 200_000
"""Steps that one check may take: some 0.6 s."""


def mismatch(schema: Json, value: Any) -> str:
    """Where and why it does not fit, "" where it does."""
    try:
        with allowed(STEPS):
            error = fault(KEPT.of(msgspec.json.encode(schema)), value)
    except TooMuchWorkError:
        return "takes too long to check"
    except RecursionError:
        return "is nested without end"
    except Exception as error:  # noqa: BLE001 - a number too large to divide, a reference lost behind an $id
        return f"cannot be checked ({type(error).__name__})"
    if error is None:
        return ""
    path, said = told(error)
    return f"{path or 'the value'}: {said}"


def read(text: str | None, schema: Json | None) -> tuple[Any, str]:
    """A text as JSON that fits, and why it is none."""
    try:
        value = msgspec.json.decode(text or "")
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None, "it is not JSON"
    return value, mismatch(schema, value) if schema is not None else ""
