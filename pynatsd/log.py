"""
The log of the command: where it goes, how it looks, and a handler nobody waits for.

Only the command attaches it; a server in somebody's program logs through the standard
`pynatsd` logger and leaves the rest to them.
"""

import logging
import os
import time
import traceback

from pynatsd import files, syslog
from pynatsd.log_format import LINE_MAX, Form, JsonForm, SyslogForm, TextForm
from pynatsd.log_format import TRACE as TRACE
from pynatsd.log_writer import Target, Writer
from pynatsd.options import Options
from pynatsd.sinks import Descriptor

_STDERR = 2


class LogError(Exception):
    """
    The log cannot be opened.

    As a string it begins with the date, for it is printed where there is no log yet;
    *text* is without.
    """

    def __init__(self, text: str) -> None:
        super().__init__(f"{time.strftime('%Y/%m/%d %H:%M:%S')} {text}")
        self.text = text


def open_handler(options: Options) -> "Handler":
    """
    The handler that *options* ask for. A syslog elsewhere may take some seconds.

    Raises:
        LogError: its target cannot be opened.
    """
    return Handler(_open_target(options), options)


class Handler(logging.Handler):
    """
    Hands records to the writer.

    Beyond what may wait, records are dropped before they are formatted, and counted;
    one with a traceback counts as one line.
    """

    def __init__(self, target: Target, options: Options) -> None:
        """*options*: what *target* was opened for."""
        super().__init__()
        self._writer = Writer(target)
        self._options = options

    @property
    def dropped(self) -> int:
        """Lines that were not written, since the start."""
        return self._writer.dropped

    @property
    def failed_writes(self) -> int:
        """System calls that failed, and attempts to reach a syslog."""
        return self._writer.failed_writes

    def emit(self, record: logging.LogRecord) -> None:
        if self._writer.is_full():
            self._writer.refuse()
            return
        try:
            texts = _texts(record)
        except Exception as error:
            # Not `handleError`: it writes to standard error, and that may block.
            texts = [
                f"Log message of {record.filename}:{record.lineno} "
                f"cannot be formatted: {type(error).__name__}"
            ]
        self._writer.put(
            # One more character than is shown tells that there was more.
            [(record.created, record.levelno, text[: LINE_MAX + 1]) for text in texts]
        )

    def reopen(self) -> None:
        """Close the log file and open it by its name; the log says how that went."""
        if self._options.log_file:
            self._writer.reopen()
        elif self._writer.is_full():
            self._writer.refuse()
        else:
            text = "File log re-open ignored, not a file logger"
            self._writer.put([(time.time(), logging.INFO, text)])

    def reconfigure(self, options: Options) -> None:
        """
        Log as *options* say from the next record on, or go on as before.

        Raises:
            LogError: the new target cannot be opened.
        """
        if _settings(options) != _settings(self._options):
            self._writer.switch(_open_target(options))
            self._options = options

    def close(self) -> None:
        """Write what waits, for a second at most, and end the writer."""
        self._writer.close()
        super().close()


def _texts(record: logging.LogRecord) -> list[str]:
    """A line for the message and one for each line of its traceback."""
    texts = [record.getMessage().rstrip("\n")]
    if record.exc_info:
        trace = "".join(traceback.format_exception(*record.exc_info))
        texts += trace.rstrip("\n").split("\n")
    return texts


def _settings(options: Options) -> tuple[object, ...]:
    """What decides where the log goes and how it looks."""
    return (
        options.log_file,
        options.log_format,
        options.logtime,
        options.remote_syslog,
        options.syslog,
    )


def _open_target(options: Options) -> Target:
    """
    A file, else a remote syslog, else that of the machine, else standard error.

    Raises:
        LogError: it cannot be opened.

    Source: gnatsd 0.8.0, main.go, `configureLogger`.
    """
    try:
        if options.log_file:
            fd = files.open_to_append(options.log_file)
            sink = Descriptor(fd, is_ours=True)
            return Target(sink, _form(options, colours=False), options.log_file)
        if options.remote_syslog:
            is_local = syslog.split(options.remote_syslog)[0] == "unix"
            return Target(
                syslog.open_remote(options.remote_syslog), SyslogForm(is_local=is_local)
            )
        if options.syslog:
            return Target(syslog.open_local(), SyslogForm(is_local=True))
    except syslog.SyslogError as error:
        raise LogError(str(error)) from None
    except OSError as error:
        why = f"open {options.log_file}: {files.reason(error)}"
        raise LogError(f"error opening file: {why}") from None
    form = _form(options, colours=os.isatty(_STDERR))
    return Target(Descriptor(_STDERR, is_ours=False), form)


def _form(options: Options, *, colours: bool) -> Form:
    if options.log_format == "json":
        return JsonForm(logtime=options.logtime)
    return TextForm(logtime=options.logtime, colours=colours)
