"""Write docs/reference/{errors,kinds,cli}.md from the code; tests/docs fails when they are stale.

python docs/generate.py
"""

from pathlib import Path

import msgspec

from trimtab import errors, load
from trimtab.cli import _page

FOLDER = Path(__file__).parent / "reference"
HEAD = "<!-- Written by docs/generate.py from the code: change the code, then run it. -->\n"


def error_page() -> str:
    """The exception tree's table."""
    lines = [
        "# Errors and exit codes", HEAD,
        "On `/v1` an error is OpenAI's error object (`message`, `type`, `param`, `code`), elsewhere an RFC 9457",
        "problem; `code` may be narrower than the class's code below. Commands end with the exit code: 0 ok,",
        "1 other, 2 usage, 3 refused, 4 waiting for a person, 5 upstream down, 6 over budget.", "",
        "| class | status | type | code | a retry may help | exit |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for cls, row in errors.TABLE.items():
        about = f"| `{cls.__name__}` | {row.status} | `{row.type}` | `{row.code}` |"
        lines.append(f"{about} {'yes' if row.retry else 'no'} | {row.exit} |")
    lines += [
        "", "## Codes", "",
        "Every code of this program. One without a class is the reason of a verdict, a wait or a command: it stands in",
        "traces, in `tried`, in `refused` and in a 428's `reason`, and is the `code` of a `no_answer_error` after it.",
        "A model's server may give a code of its own for a request that it refuses, as may a recipe's rules.", "",
        "| code | class | status | meaning |", "|---|---|---|---|",
    ]  # fmt: skip
    for name, code in errors.CODES.items():
        status = code.status or (errors.TABLE[code.of].status if code.of else "")
        lines.append(f"| `{name}` | {f'`{code.of.__name__}`' if code.of else ''} | {status} | {code.what} |")
    return "\n".join(lines) + "\n"


def kind_page() -> str:
    """Every kind of every stage with its options and their defaults."""
    lines = [
        "# Kinds",
        HEAD,
        'A kind is a file `src/trimtab/<stage>/<kind>.py`; `kind = "..."` in a recipe switches it on.',
    ]
    for stage in load.STAGES:
        lines += ["", f"## {stage}"]
        for name in load.kinds(stage):
            module = load.kind(stage, name)
            lines += ["", f"### {name}", (module.__doc__ or "").strip().splitlines()[0], ""]
            lines += [_option(field) for field in msgspec.structs.fields(module.Options)] or ["No options."]
    return "\n".join(lines) + "\n"


def _option(field: msgspec.structs.FieldInfo) -> str:
    kind = getattr(field.type, "__name__", None) if not hasattr(field.type, "__args__") else None
    shown = (kind or str(field.type)).replace("typing.", "").replace("trimtab.types.", "").replace("|", "or")
    if field.default is not msgspec.NODEFAULT:
        return f"- `{field.name}` ({shown}), default `{field.default!r}`"
    if field.default_factory is not msgspec.NODEFAULT:
        return f"- `{field.name}` ({shown}), default `{field.default_factory()!r}`"
    return f"- `{field.name}` ({shown}), required"


PAGES = {"errors.md": error_page, "kinds.md": kind_page, "cli.md": _page.page}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), "utf-8")
