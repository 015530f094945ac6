"""Values of the configuration file: times, variables, callables."""

import sys
import types
from typing import Any

import pytest
from reading import error, read

from pynatsd.settings import Settings

TIME = 'must be a number of seconds, or a time such as "1m30s"'

# ---- times ----


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("1", 1),
        ("1.5", 1.5),
        ("30s", 30.0),
        ("'30s'", 30.0),
        ("'1m30s'", 90.0),
        ("'1h1m1s1ms'", 3661.001),
        ("'1.5h'", 5400.0),
        ("'.5s'", 0.5),
        ("'1.s'", 1.0),
        ("500ms", 0.5),
        ("'5000us'", 0.005),
        ("'5000µs'", 0.005),
        ("'5000μs'", 0.005),
        ("'5000000ns'", 0.005),
        ("'1s1s'", 2.0),
    ],
)
def test_times(written: str, expected: float) -> None:
    found = read(f"ping_interval: {written}").values["ping_interval"]
    assert found == pytest.approx(expected, rel=1e-12)
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    "written",
    [
        *("2M", "2k", "2kb", "2g", "2H", "2S", "'2 m'", "' 2m'", "'2m '", "'2m\n'"),
        *("'+2m'", "'-2m'", "'2'", "'1e3s'", "'infs'", "'nans'", "'2d'", "'1:30'"),
        *("'\u0662m'", "'m'", "'2mm'", "'2m3'", "'..5s'", "''", "yes", "[]", "{}"),
    ],
)
def test_no_times(written: str) -> None:
    assert error(f"ping_interval: {written}") == f"f.conf:1:16: ping_interval: {TIME}"


@pytest.mark.parametrize("written", [f"'{'9' * 400}s'", f"'{'9s' * 100_000}'"])
def test_very_long_times(written: str) -> None:
    assert error(f"ping_interval: {written}").startswith(
        "f.conf:1:16: ping_interval: must be from 0.001 to 86400 seconds, not "
    )


# ---- variables ----


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("T = 2m\nping_interval: $T", {"ping_interval": 120.0}),
        ("T = 2m\nmax_payload: $T", {"max_payload": 2_000_000}),
        ("A = '127.0.0.1:4333'\nlisten: $A", {"host": "127.0.0.1", "port": 4333}),
        ("port: $PYNATSD_TEST_PORT", {"port": 4333}),
        ("authorization {token: $PYNATSD_TEST_TOKEN}", {"token": "t0ken"}),
    ],
)
def test_variables(
    text: str, expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYNATSD_TEST_PORT", "4333")
    monkeypatch.setenv("PYNATSD_TEST_TOKEN", "t0ken")
    assert read(text, strict=True) == Settings(expected)


def test_a_number_in_the_environment_is_no_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYNATSD_TEST_TOKEN", "12345")
    found = error("authorization {token: $PYNATSD_TEST_TOKEN}")
    assert found == (
        "f.conf:1:23: token: must be text, not a whole number; put it into quotes"
    )


# ---- authenticator ----


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    made = types.ModuleType("some_login")
    monkeypatch.setitem(sys.modules, "some_login", made)
    return made


def test_authenticator(module: types.ModuleType) -> None:
    def check() -> None: ...

    module.__dict__["check"] = check
    assert read('authenticator: "some_login:check"').values == {"authenticator": check}


SHAPE = 'must be "package.module:callable"'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((each, SHAPE) for each in ("a", "a:", ":b", "a b:c", "a..b:c", ".a:b", "")),
        (
            "no_such:check",
            'cannot import "no_such:check": ModuleNotFoundError: '
            "No module named 'no_such'",
        ),
        (
            "os.path.no:check",
            'cannot import "os.path.no:check": ModuleNotFoundError: '
            "No module named 'os.path.no'; 'os.path' is not a package",
        ),
        (
            "some_login:check",
            'cannot import "some_login:check": AttributeError: '
            "module 'some_login' has no attribute 'check'",
        ),
        ("some_login:__name__", '"some_login:__name__" is not callable'),
    ],
)
def test_authenticator_errors(module: types.ModuleType, value: str, text: str) -> None:
    assert error(f'authenticator: "{value}"') == f"f.conf:1:16: authenticator: {text}"


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ("raise ValueError('first\\nsecond')", "ValueError: first"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("def", "SyntaxError: "),
        ("import no_such", "ModuleNotFoundError: No module named 'no_such'"),
        ("raise RuntimeError", "RuntimeError: "),
    ],
)
def test_a_module_that_fails(
    body: str, cause: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "failing_login.py").write_text(body)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "failing_login", raising=False)
    found = error('authenticator: "failing_login:check"')
    assert found.startswith(
        f'f.conf:1:16: authenticator: cannot import "failing_login:check": {cause}'
    )
    assert "\n" not in found


def test_an_interrupt_is_not_swallowed(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_login.py").write_text("raise KeyboardInterrupt")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        read('authenticator: "slow_login:check"')
