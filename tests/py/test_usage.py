"""The texts that the command prints about itself: layout, and nothing left out."""

from pynatsd import ciphers, usage
from pynatsd.flags import _FLAGS
from pynatsd.usage import USAGE

LEFT = """
-a, --addr <host>
-p, --port <port>
-P, --pid <file>
-m, --http_port <port>
-ms, --https_port <port>
-c, --config <file>
-t
--strict
-n, --server_name <name>
--threads <n>
--ports_file_dir <dir>
-sl, --signal <signal>[=<pid>]
-l, --log <file>
-T, --logtime
-s, --syslog
-r, --remote_syslog <url>
-D, --debug
-V, --trace
-DV
--log_format <format>
--user <user>
--pass <password>
--auth <token>
--tls
--tlscert <file>
--tlskey <file>
--tlsverify
--tlscacert <file>
--routes <url, url>
--cluster <url>
-h, --help
-v, --version
--help_tls
"""


def test_usage() -> None:
    lines = USAGE.splitlines()
    assert lines[:2] == ["", "Usage: pynatsd [options]"]
    assert USAGE.endswith("\n")
    assert not USAGE.endswith("\n\n")
    assert [line for line in lines if line.endswith("Options:")] == [
        "Server Options:",
        "Logging Options:",
        "Authorization Options:",
        "TLS Options:",
        "Cluster Options:",
        "Common Options:",
    ]
    rows = [line for line in lines if line.startswith("    ")]
    left = [row[:37].strip() for row in rows]
    assert [names for names in left if names] == LEFT.split("\n")[1:-1]
    for row in rows:
        assert row[36] == " "  # descriptions start in column 38
        assert row[37] != " "
        assert len(row) <= 88
        assert len(row) - len(row.lstrip()) == (
            4 if row[4:5] == "-" else 8 if row[8:9] == "-" else 37
        )


def test_usage_has_every_flag_but_the_hidden() -> None:
    named = {
        word.lstrip("-")
        for row in LEFT.split("\n")
        for word in row.replace(",", "").split()
        if word.startswith("-")
    }
    hidden = {"net", "name", "VV", "DVV", "profile", "cluster_listen"}
    assert named | hidden == set(_FLAGS)
    assert not named & hidden


def test_help_tls() -> None:
    text, _, names = usage.HELP_TLS.partition("Available cipher suites include:\n\n")
    assert "    tls {\n" in text
    for key in ("cert_file", "key_file", "ca_file", "verify", "cipher_suites"):
        assert f"      {key}:" in text
    assert names.splitlines() == [
        "    TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
        "    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "    TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
        "    TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "    TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
        "    TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "    TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
        "    TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        "    TLS_RSA_WITH_AES_128_CBC_SHA",
        "    TLS_RSA_WITH_AES_256_CBC_SHA",
    ]
    known = {*ciphers.SUPPORTED, *ciphers.RETIRED}
    assert len(known) == 15
    assert {word.strip('"') for word in text.split() if "TLS_" in word} < known
