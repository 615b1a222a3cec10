"""The command line: one file per verb; `main` is the console script."""

import sys


def main() -> int:
    """Run `trimtab` on `sys.argv`; the exit code. The version is answered before anything is imported."""
    try:
        if sys.argv[1:2] in (["--version"], ["-V"]):
            from trimtab import __version__

            said = (
                f'{{"schema_version":1,"version":"{__version__}"}}'
                if "--json" in sys.argv
                else f"trimtab {__version__}"
            )
            print(said, flush=True)
            return 0
        from trimtab.cli.app import run

        return run(sys.argv[1:])
    except KeyboardInterrupt:  # while modules are imported
        return 130
    except BrokenPipeError:  # the reader went away (`| head`): nothing is left to tell, and no one to tell it
        sys.stdout = None
        return 0
