"""URLs of other servers: every part, and errors that show no secret."""

import pytest

from pynatsd.peer_url import Peer, parse_listen, parse_route


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("nats-route://h:4248", Peer("nats-route", "h", 4248, "", "")),
        ("nats://h:1", Peer("nats", "h", 1, "", "")),
        ("NATS://h:65535/", Peer("nats", "h", 65535, "", "")),
        ("nats://u:p@h:1", Peer("nats", "h", 1, "u", "p")),
        ("nats://u@h:1", Peer("nats", "h", 1, "u", "")),
        ("nats://u:@h:1", Peer("nats", "h", 1, "u", "")),
        ("nats://:p@h:1", Peer("nats", "h", 1, "", "p")),
        ("nats://@h:1", Peer("nats", "h", 1, "", "")),
        ("nats://u:p:q@h:1", Peer("nats", "h", 1, "u", "p:q")),
        ("nats://u:p@q@h:1", Peer("nats", "h", 1, "u", "p@q")),
        ("nats://u%3a:%2F%3F%23%40@h:1", Peer("nats", "h", 1, "u:", "/?#@")),
        ("nats://%c3%bc:+@h:1", Peer("nats", "h", 1, "ü", "+")),
        ("nats://ü:ü@ü:1", Peer("nats", "ü", 1, "ü", "ü")),
        ("nats://u:T0pS3cr3tT00!@h:1", Peer("nats", "h", 1, "u", "T0pS3cr3tT00!")),
        ("nats://127.0.0.1:1", Peer("nats", "127.0.0.1", 1, "", "")),
        ("nats://[::1]:1", Peer("nats", "::1", 1, "", "")),
        ("nats://[::ffff:1.2.3.4]:1", Peer("nats", "::ffff:1.2.3.4", 1, "", "")),
        ("nats://h:00001", Peer("nats", "h", 1, "", "")),
    ],
)
def test_route(url: str, expected: Peer) -> None:
    assert parse_route(url) == expected


PORT = "the port must be from 1 to 65535"
LIKE = "must be like nats://host:port"


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("", "missing port in address"),
        ("foo", "missing port in address"),
        ("nats://", "missing port in address"),
        ("nats:///", "missing port in address"),
        ("nats://u:p@", "missing port in address"),
        ("nats://h", "address h: missing port in address"),
        ("nats://h:", "address h: missing port in address"),
        ("nats://u:s3@h", "address h: missing port in address"),
        ("nats://[::1]", "address [::1]: missing port in address"),
        ("nats://:1", "address :1: missing host in address"),
        ("nats://u:s3@:1", "address :1: missing host in address"),
        ("h:1", f'error parsing route url ["h:..."]: {LIKE}'),
        ("://h:1", f'error parsing route url [":..."]: {LIKE}'),
        ("1x://h:1", f'error parsing route url ["1x:..."]: {LIKE}'),
        ("u:s3@h:1", f'error parsing route url ["...@h:..."]: {LIKE}'),
        ("u:s3@h://x", f'error parsing route url ["...@h:..."]: {LIKE}'),
        ("nats://h:1/x", f'error parsing route url ["nats://h:..."]: {LIKE}'),
        ("nats://h:1?x", f'error parsing route url ["nats://h:..."]: {LIKE}'),
        ("nats://u:s/3@h:1", f'error parsing route url ["nats://...@h:..."]: {LIKE}'),
        ("nats://s/3@h", f'error parsing route url ["nats://...@h"]: {LIKE}'),
        ("nats://u:s#3@h:1", f'error parsing route url ["nats://...@h:..."]: {LIKE}'),
        ("nats://h:s3cr3t", f'error parsing route url ["nats://h:..."]: {PORT}'),
        ("nats://h:0", f'error parsing route url ["nats://h:..."]: {PORT}'),
        ("nats://h:-1", f'error parsing route url ["nats://h:..."]: {PORT}'),
        ("nats://h:65536", f'error parsing route url ["nats://h:..."]: {PORT}'),
        ("nats://h:000001", f'error parsing route url ["nats://h:..."]: {PORT}'),
        ("nats://h:\u0661", f'error parsing route url ["nats://h:..."]: {PORT}'),
        ("nats://h:1:2", f'error parsing route url ["nats://h:..."]: {PORT}'),
        ("nats://::1:4248", f'error parsing route url ["nats://:..."]: {PORT}'),
        ("nats://[::1:1", 'error parsing route url ["nats://[:..."]'),
        ("nats://[x]:1", 'error parsing route url ["nats://[x]:..."]'),
        ("nats://[]:1", 'error parsing route url ["nats://[]:..."]'),
        ("nats-route://%zz", 'error parsing route url ["nats-route://%zz"]'),
        ("nats://h%41:1", 'error parsing route url ["nats://h%41:..."]'),
        ("nats://u:%zz@h:1", 'error parsing route url ["nats://...@h:..."]'),
        ("nats://%f:p@h:1", 'error parsing route url ["nats://...@h:..."]'),
        ("nats://u:%ff@h:1", 'error parsing route url ["nats://...@h:..."]'),
        ("nats://u:%@h:1", 'error parsing route url ["nats://...@h:..."]'),
        ("nats://a b:1", 'error parsing route url ["nats://a b:..."]'),
        ("nats://a\x1b:1", 'error parsing route url ["nats://a?:..."]'),
        ("nats://a\n:1", 'error parsing route url ["nats://a?:..."]'),
        ("nats://h:1\n", 'error parsing route url ["nats://h:..."]'),
        (
            "http://u:s3@h:1",
            'error parsing route url ["http://...@h:..."]: '
            "must begin with nats-route:// or nats://",
        ),
        (
            "nats://" + "h" * 1000 + " :1",
            f'error parsing route url ["nats://{"h" * 93}"]',
        ),
    ],
)
def test_no_route(url: str, text: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared
        parse_route(url)
    assert str(caught.value) == text
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("nats://h:4248", Peer("nats", "h", 4248, "", "")),
        ("nats://u:p@h:4248", Peer("nats", "h", 4248, "u", "p")),
        ("nats://:4248", Peer("nats", "", 4248, "", "")),
        ("nats://h:0", Peer("nats", "h", 0, "", "")),
        ("nats://h:-1", Peer("nats", "h", -1, "", "")),
        ("tcp://h:1", Peer("tcp", "h", 1, "", "")),
    ],
)
def test_listen(url: str, expected: Peer) -> None:
    assert parse_listen(url) == expected


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("nats://127.0.0.1", "address 127.0.0.1: missing port in address"),
        ("foo", "missing port in address"),
        ("nats://u@h:1", "Expected cluster password to be set."),
        ("nats://u:@h:1", "Expected cluster password to be set."),
        ("nats://:s3@h:1", "Expected cluster user to be set."),
        (
            "nats://h:-2",
            'error parsing cluster url ["nats://h:..."]: '
            "the port must be from -1 to 65535",
        ),
        (
            "127.0.0.1:31998",
            'error parsing cluster url ["127.0.0.1:..."]: '
            "must be like nats://host:port",
        ),
        ("nats://u:%zz@h:1", 'error parsing cluster url ["nats://...@h:..."]'),
    ],
)
def test_no_listen(url: str, text: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared
        parse_listen(url)
    assert str(caught.value) == text


def test_no_secret_is_in_the_repr() -> None:
    assert "s3" not in repr(parse_route("nats://u:s3@h:1"))
