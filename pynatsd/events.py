"""What the control thread answers to the engine's events."""

import logging

from pynatsd import connect, core
from pynatsd.auth import Door
from pynatsd.core import Admit, Answer, ConnectEvent, Event, LogEvent, Refuse
from pynatsd.log_format import TRACE

log = logging.getLogger("pynatsd")

_LEVELS = {
    core.LEVEL_INFO: logging.INFO,
    core.LEVEL_ERROR: logging.ERROR,
    core.LEVEL_DEBUG: logging.DEBUG,
    core.LEVEL_TRACE: TRACE,
}


def answer(door: Door, event: Event) -> Answer:
    """
    The answer to *event*; None if there is none, or if *door* gives it later.

    Control thread. Never waits.
    """
    if isinstance(event, LogEvent):
        log.log(_LEVELS[event.level], "%s", event.text)
        return None
    try:
        if isinstance(event, ConnectEvent):
            if event.is_traced:
                shown = connect.shown(event.argument)
                log.log(TRACE, "%s - ->> [CONNECT %s]", event.peer, shown)
            options = connect.parse(event.argument, event.prior)
            return door.decide(event, options, _admit(options))
        connect.check_info(event.argument)
        return Admit()
    except connect.ConnectError as error:
        return Refuse(error.text, error.reason)


def _admit(options: connect.ConnectOptions) -> Admit:
    bits = (
        options.verbose * core.OPT_VERBOSE
        | options.pedantic * core.OPT_PEDANTIC
        | options.echo * core.OPT_ECHO
        | options.headers * core.OPT_HEADERS
        | options.no_responders * core.OPT_NO_RESPONDERS
        | options.protocol * core.OPT_ASYNC_INFO
    )
    return Admit(bits, connect.note(options))
