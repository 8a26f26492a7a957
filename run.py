"""`python run.py --tenant david`: start a tenant's Klåd. The same as `klad run david`."""

import sys


def main() -> int:
    if sys.version_info < (3, 11):  # noqa: UP036 - this file must say so on any Python 3
        print("Klåd needs Python 3.11 or newer; `make run` finds it.", file=sys.stderr)
        return 2
    try:
        import klad.cli.serve  # noqa: F401 - all that a start needs, so that what is missing shows here
        from klad.cli import run
    except ModuleNotFoundError as missing:
        if (missing.name or "").split(".")[0] in ("klad", "actors", "agent"):
            raise
        print(f"The package {missing.name} is not installed here: use `make run TENANT=NAME`.", file=sys.stderr)
        return 2
    return run()


if __name__ == "__main__":
    sys.exit(main())
