"""What the command-line programs share: flags, and how a user's mistake ends."""

import _thread
import ast
import contextlib
import functools
import os
import pathlib
import resource
import signal
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator

import jax
from absl import app, flags, logging
from ml_collections import config_flags

from gtp_jax import config as gtp_config
from gtp_jax.cores import available_cores, cpu_info
from gtp_jax.errors import UserError

MAX_CACHE = 2**30  # bytes of compiled programs; those that were not used for longest go
LARGEST_SEED = 2**31 - 1  # as of those in `gtp_jax.config`


def fail(message: object) -> None:
    """Ends the program with status 2 and one line on stderr."""
    lines = [line.strip() for line in str(message).splitlines() if line.strip()]
    # Errors of a config file come with a traceback, whose last line is the message.
    text = lines[-1].removeprefix("ValueError: ") if len(lines) > 2 else " ".join(lines)
    text = "".join(c if c.isprintable() else "?" for c in text)  # a file's content may hold a terminal's commands
    print(f"error: {text}", file=sys.stderr)
    sys.exit(2)


def parse(values: flags.FlagValues, argv: list[str], **options) -> list[str]:
    """Parses flags, or ends the program as `fail` does; returns the arguments that are left."""
    try:
        _, *rest = values(argv, **options)
    except (AttributeError, KeyError) as error:  # ml_collections puts the name of a missing field in layers of quotes
        text = str(error)
        while text[0] in "'\"" and text[0] == text[-1]:
            text = ast.literal_eval(text)
        name, _, hint = text.partition("Did you mean ")
        hint = f"; did you mean {hint.split(' instead')[0]}?" if hint else ""
        fail(text if text == str(error) else f"unknown config field {name.strip()}{hint}")
    except (flags.Error, OSError, ValueError, TypeError) as error:
        fail(error)
    return rest


def _parse(argv: list[str], argument: str | None, most: int) -> list[str]:
    rest = parse(flags.FLAGS, argv)
    if argument and not 1 <= len(rest) <= most:
        fail(f"{len(rest)} arguments were given; it takes {argument}")
    if rest and not argument:
        fail(f"unexpected argument {rest[0]!r}; flags begin with --")
    return rest


@contextlib.contextmanager
def _reading_a_config() -> Iterator[None]:
    """A config file that cannot be read is noticed at the first look into what came of it."""
    try:
        yield
    except OSError as error:
        raise UserError(str(error).splitlines()[-1].strip()) from error


def validated(config):
    """What --config gave, if it can be trained.

    Raises:
        UserError: one line that says what is wrong.
    """
    if config is None:
        raise UserError("--config is needed, as in --config=configs/antmaze.py")
    with _reading_a_config():
        gtp_config.validate(config)
    return config


def whole_numbers(flag: flags.FlagHolder) -> list[int]:
    """What a flag that is a list holds.

    Raises:
        UserError: it is empty, or something in it is no whole number of at least 1.
    """
    if not flag.value or not all(text.isdecimal() and int(text) for text in flag.value):
        raise UserError(f"--{flag.name}={','.join(flag.value)} must be whole numbers of at least 1")
    return [int(text) for text in flag.value]


def register(config_flag: flags.FlagHolder) -> None:
    """Runs the config file that registers a run's own objective, if one was given; the run has its settings itself.

    Raises:
        UserError: it cannot be read, or one of its fields was set.
    """
    if config_flag.value is None:
        return
    with _reading_a_config():
        config_flag.value.keys()
    if fields := config_flags.get_override_values(flags.FLAGS[config_flag.name]):
        raise UserError(f"--config.{next(iter(fields))} changes nothing here: a run keeps its settings")


class Stopped(BaseException):
    """Somebody wants the program to end: SIGTERM or SIGINT. Its argument is the signal's number."""


def _on_signals(first: Callable[[int], None]) -> None:
    """From now on a first SIGTERM or SIGINT calls `first` with its number, and a second ends the process at once.

    What comes within a second of the first is the first again, by another way: a terminal signals a command and what
    the command has started, to which `experiments.sweep` passes the signal on.
    """
    heard_at = None

    def hear(number, _):
        nonlocal heard_at
        if heard_at is None:
            heard_at = time.monotonic()
            first(number)
        elif time.monotonic() > heard_at + 1:
            os._exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, hear)


def note_signals() -> Callable[[], int | None]:
    """From now on a first signal is only noted; returns a function that gives its number, or None if none has come."""
    noted = []
    _on_signals(noted.append)
    return lambda: noted[0] if noted else None


def _interrupt(number: int) -> None:
    raise KeyboardInterrupt(number)


def configure_jax() -> None:
    """Before JAX has been used for anything: a CPU device a core, and programs are compiled once for all starts.

    XLA_FLAGS may say how many devices: members on different ones train side by side, which threads within one do not
    match. JAX_COMPILATION_CACHE_DIR may say where programs are kept, which are machine code: processors that share a
    home but not their instructions have folders of their own.
    """
    if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        jax.config.update("jax_num_cpu_devices", available_cores())
    if jax.config.jax_compilation_cache_dir is None:
        instructions = f"{zlib.crc32(cpu_info('flags').encode()):08x}"
        try:
            caches = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
            (folder := caches / "gtp_jax" / instructions).mkdir(parents=True, exist_ok=True)
        except (OSError, RuntimeError):  # no home, or one that cannot be written to: every start compiles
            return
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_compilation_cache_max_size", MAX_CACHE)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def _of_what_cannot_be_raised(error) -> None:
    if error.exc_type is KeyboardInterrupt:  # amid a garbage collection, say: it is not lost but comes again
        _on_signals(_interrupt)
        threading.Timer(0.1, _thread.interrupt_main, error.exc_value.args).start()
    elif threading.current_thread() is threading.main_thread():
        sys.__unraisablehook__(error)


def _tell_in_a_line(error) -> None:
    """Of threads: their errors come to the main thread too, where they matter."""
    problem = " ".join(f"{error.exc_type.__name__}: {error.exc_value}".split())
    print(f"\nin the background: {problem}", file=sys.stderr)


def _leave_at_once(status: int) -> None:
    """Without waiting for threads: those of Orbax may wait minutes for others that have failed."""
    if jax.distributed.is_initialized() and jax.process_index() == 0:
        time.sleep(1)  # the other processes end with this one, perhaps before they have said why
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def run(main: Callable[..., None], *, argument: str | None = None, most: int = 1) -> None:
    """Parses the flags and runs a program, turning `UserError` into one line and status 2.

    Args:
        main: called with a stack, whose content is closed however the program ends, and with the arguments if any.
        argument: what the program's argument is, in words; None if it takes only flags.
        most: arguments that it takes.
    """

    def wrapped(arguments):
        logging.set_verbosity(logging.FATAL)  # Orbax reports every file, and what it raises too
        # When a restore fails, the other reads that it began complain too, one by one, from TensorStore's threads.
        sys.unraisablehook, threading.excepthook = _of_what_cannot_be_raised, _tell_in_a_line
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # a population has an open file a member
        _on_signals(_interrupt)  # SIGTERM too, whose default leaves behind what was half written
        try:
            with contextlib.ExitStack() as stack:
                main(stack, *arguments)
        except KeyboardInterrupt as interrupt:
            print("\nstopped", file=sys.stderr)
            _leave_at_once(128 + interrupt.args[0])
        except Stopped as stopped:
            number = stopped.args[0]
            name = signal.Signals(number).name
            print(f"\nstopped by {name}; the same command with the same --workdir goes on", file=sys.stderr)
            sys.exit(128 + number)
        except UserError as error:
            try:
                fail(error)
            finally:
                _leave_at_once(2)

    app.run(wrapped, flags_parser=functools.partial(_parse, argument=argument, most=most))
