"""The texts that the command prints about itself."""

from pynatsd._version import VERSION
from pynatsd.ciphers import SUPPORTED

VERSION_LINE = f"pynatsd version {VERSION}\n"

USAGE = """
Usage: pynatsd [options]

Server Options:
    -a, --addr <host>                Host to listen on (default: all)
    -p, --port <port>                Port for clients (default: 4222)
    -P, --pid <file>                 File to keep the process id in
    -m, --http_port <port>           Port for HTTP monitoring
    -ms, --https_port <port>         Port for HTTPS monitoring
    -c, --config <file>              Configuration file
    -t                               Check the configuration and exit
        --strict                     Refuse unknown keys in the file
    -n, --server_name <name>         Name of this server
        --threads <n>                Serving threads (default: CPUs)
        --ports_file_dir <dir>       Where to write down the ports in use
    -sl, --signal <signal>[=<pid>]   Signal a server: stop, quit, term, reopen,
                                     reload or ldm (lame duck); <pid> is a process
                                     id or a pid file (default: that of -P or -c)

Logging Options:
    -l, --log <file>                 File to append the log to
    -T, --logtime                    Time in the log (default: true)
    -s, --syslog                     Log to the syslog of this machine
    -r, --remote_syslog <url>        Log to a syslog (udp://localhost:514)
    -D, --debug                      Log what helps to find an error
    -V, --trace                      Log the protocol of every client
    -DV                              Log both
        --log_format <format>        Lines of text or of json (default: text)

Authorization Options:
        --user <user>                User that clients must give
        --pass <password>            Password of that user
        --auth <token>               Token that clients must give

TLS Options:
        --tls                        TLS for clients (default: false)
        --tlscert <file>             Certificate of the server
        --tlskey <file>              Private key of that certificate
        --tlsverify                  TLS, and clients need certificates too
        --tlscacert <file>           Authorities to verify those with

Cluster Options:
        --routes <url, url>          Servers to connect to
        --cluster <url>              Where to listen for other servers

Common Options:
    -h, --help                       Show this text
    -v, --version                    Show the version
        --help_tls                   Show help on TLS
"""

HELP_TLS = """
TLS is a section of the configuration file:

    tls {
      cert_file: "./certs/server-cert.pem"
      key_file:  "./certs/server-key.pem"
      timeout:   2    # seconds that a handshake may take

      # Clients need certificates too, from these authorities.
      verify:    true
      ca_file:   "./certs/ca.pem"

      # The best first.
      cipher_suites: [
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
      ]
    }

The flags --tls, --tlscert, --tlskey, --tlsverify and --tlscacert override it.

Available cipher suites include:

""" + "".join(f"    {name}\n" for name in SUPPORTED)
