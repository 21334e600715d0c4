"""The command `thg-zoo`: one module per subcommand, one place where errors become exit codes."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Annotated, cast

import typer

from thg_zoo.cli import batch, bench, compare, console, demo, doctor, info, licenses, listing, motion, run, weights
from thg_zoo.errors import ThgZooError
from thg_zoo.version import __version__

# The base of what the argument parser raises: click's, or the copy of it that newer versions of typer carry.
_PARSER_ERROR: type[Exception] = typer.BadParameter.__mro__[2]

EXIT_BUG = 1
EXIT_INTERRUPTED = 130

app = typer.Typer(
    help="Talking-head models behind one command.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run", epilog=run.EXAMPLES)(run.run)
app.command("batch", epilog=batch.EXAMPLES)(batch.batch)
app.command("compare", epilog=compare.EXAMPLES)(compare.compare)
app.command("bench", epilog=bench.EXAMPLES)(bench.bench)
app.command("motion", epilog=motion.EXAMPLES)(motion.motion)
app.command("demo")(demo.demo)
app.command("list")(listing.list_)
app.command("info")(info.info)
app.command("doctor")(doctor.doctor)
app.add_typer(weights.app, name="weights")
app.add_typer(licenses.app, name="licenses")


def _version(asked: bool) -> None:
    if asked:
        console.out().print(f"thg-zoo {__version__}")
        raise typer.Exit


@app.callback()
def thg_zoo(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the trace of an error and the log. May stand anywhere.")
    ] = False,
) -> None:
    """Animate a face with speech or with another video."""


def main() -> None:
    """Entry point: runs the command and exits with a documented code (docs/cli.md)."""
    sys.exit(_main(sys.argv[1:]))


def _main(arguments: list[str]) -> int:
    arguments, debug = _without_debug(arguments)
    console.show_log(debug)
    # OpenMP threads that spin while they wait take the cores from ffmpeg, which runs at the same time: measured
    # at up to twice the time of a whole run on two cores. Read when torch is imported, which has not happened yet.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = int(app(arguments, standalone_mode=False, prog_name="thg-zoo") or 0)
        # Newer versions of typer turn an interrupt into its exit code.
        return _interrupted(debug) if code == EXIT_INTERRUPTED else code
    except ThgZooError as error:
        return _fail(str(error), error.exit_code, debug)
    except typer.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted(debug)
    except BrokenPipeError:
        # The reader of a pipe has gone (`thg-zoo list | head`): nothing is wrong, and nothing can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except _PARSER_ERROR as error:
        return _refuse(cast("typer.BadParameter", error), debug)
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        return _fail(f"{text}. This is a bug: please report it with the output of --debug.", EXIT_BUG, debug)


def _refuse(problem: typer.BadParameter, debug: bool) -> int:
    """One line about a call that the parser refuses, and where help is."""
    if type(problem).__name__ == "NoArgsIsHelpError":  # no error: the help was shown in its place
        return problem.exit_code
    text = problem.format_message().replace("\n", " ")
    command = problem.ctx.command_path if problem.ctx else "thg-zoo"
    ended = text if text.endswith((".", "?")) else f"{text}."
    return _fail(f"{ended} See `{command} --help`.", problem.exit_code, debug)


def _without_debug(arguments: list[str]) -> tuple[list[str], bool]:
    """The arguments without `--debug`, which may stand anywhere before a `--`, and whether it was there."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    kept = [a for a in arguments[:end] if a != "--debug"]
    return kept + arguments[end:], len(kept) < end


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (signature of signal handlers)
    raise KeyboardInterrupt


def _interrupted(debug: bool) -> int:
    return _fail("Interrupted; nothing was written.", EXIT_INTERRUPTED, debug)


def _fail(text: str, code: int, debug: bool) -> int:
    if debug and sys.exc_info()[0] is not None:
        console.err().print_exception()
    console.say("error", "bold red", text)
    return code
