"""What every command shares: the group, the guard around each, and options that several have."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

import click

INTERRUPTED = 130
BROKEN_PIPE = 141
BUG = 4


def guarded(command: Callable[..., int]) -> Callable[..., NoReturn]:
    """A user's mistake becomes one clear message and its exit code; a bug says where to report it."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> NoReturn:
        from governance.errors import SteelyardError
        from governance.offline import stay_home

        stay_home()
        try:
            code = command(*args, **kwargs)
        except SteelyardError as error:
            click.echo(f"steelyard: {error}", err=True)
            code = error.exit_code
        except KeyboardInterrupt:
            click.echo("\nsteelyard: interrupted; run the same command again to resume", err=True)
            code = INTERRUPTED
        except BrokenPipeError:  # `| head`: whoever read has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = BROKEN_PIPE
        except OSError as error:
            # A full disk, a folder without permission: the user's to mend, and nothing done so far is lost.
            where = f"{error.filename}: " if error.filename else ""
            click.echo(f"steelyard: {where}{error.strerror or error}; run the same command again to resume", err=True)
            code = 2
        except click.exceptions.ClickException:
            raise
        except Exception as error:  # noqa: BLE001 - the last line of defence; a traceback could quote a record
            click.echo(_bug(error), err=True)
            code = BUG
        sys.exit(code)

    return run


def _bug(error: Exception) -> str:
    """Where an internal error happened: file and line, never the message, which may quote a text."""
    import traceback

    frames = traceback.extract_tb(error.__traceback__)[-4:]
    where = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))
    if os.environ.get("STEELYARD_TRACEBACK"):
        traceback.print_exception(error)
    return (
        f"steelyard: internal error {type(error).__name__} at {where}. This is a bug in Steelyard: please report this "
        "line with the config. STEELYARD_TRACEBACK=1 shows everything (it may quote your data)."
    )


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="steelyard")
def main() -> None:
    """Weigh a model before a shop ships it.

    Exit codes: 0 pass, 1 a control failed, 2 bad input or config, 3 unproven (not enough evidence), 4 a bug.
    """


LANG = click.option("--lang", type=click.Choice(["en", "zh"]), default="en", help="Language of the reports.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON on stdout.")
RUN = click.argument("run", type=click.Path(path_type=Path))
POLICY = click.option("--policy", help="A policy file, or a name that ships. [default: the one it was last judged by]")
WAIVERS = click.option(
    "--waivers", type=click.Path(path_type=Path), help="A file of waivers. [default: those it was last judged with]"
)
WAIVER_KEY = click.option(
    "--waiver-key", "keys", type=click.Path(path_type=Path), multiple=True,
    help="A public key of who may approve waivers; may be given again. [default: STEELYARD_WAIVER_KEYS]",
)  # fmt: skip
OUT = click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
SUMMARY = click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON on stdout.")
