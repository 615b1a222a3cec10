"""The page docs/reference/cli.md, written from the commands' own help.

python -m trimtab.cli._page > docs/reference/cli.md
"""

import sys
from collections.abc import Iterator
from typing import Any

WIDTH = 80
HEAD = """# Command line
<!-- Written by `python -m trimtab.cli._page` from the commands' help: change the code, then run it. -->

Data goes to stdout, everything else to stderr. With `--json` stdout holds one JSON object (for lists: one a line), each
with `"schema_version": 1`; an error is `{"schema_version": 1, "error": {"message", "fix", "type", "code", "param"}}`.
Colour is for terminals only, and `NO_COLOR` turns it off.

| exit code | means |
|---|---|
| 0 | done; `ask`: answered; `demo`, `route probe`: every probe got its decision; `doctor`: nothing fails |
| 1 | something else went wrong; `demo`, `route probe`: a probe did not get its decision; `doctor`: something fails |
| 2 | wrong usage, settings or request |
| 3 | refused |
| 4 | waits for a person |
| 5 | a model's server is down, too slow or wrong |
| 6 | over a budget or a cost limit |
| 130 | interrupted |

`run`: 1 where a line has failed, else 4 where one waits for a person.

State (the ledger, tickets) lies in `~/.trimtab/<recipe's name>`, or in the folder that `TRIMTAB_HOME` names.
"""


def page() -> str:
    """The whole page."""
    return HEAD + "".join(f"\n## {name}\n```text\n{said}\n```\n" for name, said in helps())


def helps() -> Iterator[tuple[str, str]]:
    """Every command's full name and help, in the order of `trimtab --help`."""
    from typer.main import get_command

    from trimtab.cli.app import tree

    return _helps(get_command(tree()), "trimtab")


def _helps(command: Any, name: str, parent: Any = None) -> Iterator[tuple[str, str]]:
    """Each command that does something, with its help as a terminal of `WIDTH` columns shows it."""
    context = command.context_class(
        command, info_name=name.rpartition(" ")[2], parent=parent, terminal_width=WIDTH, max_content_width=WIDTH,
        help_option_names=["-h", "--help"],
    )  # fmt: skip
    below = getattr(command, "commands", {})
    if not below or command.invoke_without_command:
        yield name, command.get_help(context).rstrip()
    for child, found in below.items():
        yield from _helps(found, f"{name} {child}", context)


if __name__ == "__main__":
    sys.stdout.write(page())
