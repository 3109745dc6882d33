"""No secret leaves: every refusal is provoked, and all that came out of it is searched for what must not be in it.

The secrets are real: the admin tokens, the private keys as they lie in their files, an invite's words, and a password
that a configuration names. Searched are what commands print, gateway logs, the audit log, metrics, the process list,
and every file of a gateway's directory that is not the secret's own.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scenarios.test_pairing import accept, invite, organization
from tests.support.cli import CliResult
from tests.support.organization import Organization, stop_all

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

PASSWORD = "pa55-of-the-broker-that-nobody-shall-see"
WRONG_WORDS = "marble dolphin copper lantern meadow violin"
Try = Callable[..., CliResult]


def secrets_of(gateway: Organization) -> dict[str, str]:
    """By name, each as text that is found wherever the secret is shown whole or by a line."""
    found = {"admin token": (gateway.home / "state" / "admin.token").read_text().split()[0]}
    for key in sorted((gateway.home / "keys").glob("*.key")):
        lines = [line for line in key.read_text().splitlines() if not line.startswith("-----")]
        found |= {f"{key.name} line {number}": line for number, line in enumerate(lines) if len(line) > 20}
    return {f"{gateway.org} {name}": value for name, value in found.items()}


def refusals(mesh: Try, home: Path, partner_file: Path) -> list[CliResult]:
    """One of each kind of command, asked what it must refuse."""
    damaged = home.parent / "damaged.json"
    damaged.write_text(partner_file.read_text()[:-40])
    return [
        mesh("peer", "show", "nobody.example"),
        mesh("peer", "add", str(damaged)),
        mesh("peer", "add", "-", stdin=b"{}"),
        mesh("peer", "accept", str(partner_file), "--words-file", "-", stdin=WRONG_WORDS.encode()),
        mesh("peer", "approve", "nobody.example", "--phrase", WRONG_WORDS),
        mesh("peer", "why", str(home / "keys" / "gateway.key")),
        mesh("peer", "why", "nobody.example"),
        mesh("peer", "doctor", "nobody.example"),
        mesh("share", "create", "nothing", "--topic", "absent"),
        mesh("grant", "create", "nothing", "--to", "nobody.example"),
        mesh("grant", "revoke", "nothing", "--from", "nobody.example"),
        mesh("subscribe", "nobody.example/nothing", "--topic", "a=b"),
        mesh("subscription", "promote", "nothing", "--yes"),
        mesh("offsets", "translate", "nothing", "--topic", "a", "--partition", "0", "--offset", "1"),
        mesh("verify", "nothing"),
        mesh("topic", "append", "absent", stdin=b"{"),
        mesh("topic", "read", "absent"),
        mesh("drill", "revoke", "nothing@nobody.example"),
        mesh("certs", "disown", "--key-hash", "00"),
        mesh("audit", "verify", str(damaged)),
        mesh("config", "explain", "--running"),
        mesh("config", "explain"),
        mesh("nonsense"),
    ]


def unauthorised(gateway: Organization) -> str:
    """What the admin API says to somebody with a wrong token."""
    asked = urllib.request.Request(f"http://{gateway.admin}/v1/status", headers={"Authorization": "Bearer wrong"})
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return str(answer.read())
    except urllib.error.HTTPError as error:
        return f"{error.headers}{error.read()!r}"


def metrics(gateway: Organization) -> str:
    with urllib.request.urlopen(f"http://{gateway.admin}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def command_lines() -> str:
    """Of every process of this machine, as `ps` shows them to anybody."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:  # it has ended meanwhile
            continue
    return "\n".join(lines)


def own_files(gateway: Organization) -> str:
    """Everything in the directory but the keys and the token, databases byte for byte."""
    shown = [content for path, content in gateway.files() if path.suffix != ".key" and path.name != "admin.token"]
    return "\n".join(content.decode("latin-1") for content in shown)


def test_no_refusal_log_audit_metric_or_process_shows_a_secret(tmp_path: Path) -> None:
    acme, globex = organization(tmp_path / "acme", "acme.example"), organization(tmp_path / "globex", "globex.example")
    password_file = tmp_path / "password"
    password_file.write_text(PASSWORD)
    password_file.chmod(0o600)
    with stop_all(acme, globex):
        acme.start()
        globex.start()

        # 1. they meet by words, so that there are words to show
        file = tmp_path / "globex.invite.json"
        words = invite(acme, file)
        said = refusals(globex.try_mesh, globex.home, file) + refusals(acme.try_mesh, acme.home, file)
        accept(globex, file, words)

        # 2. a broker that is not there, with a password that is
        kafka = [
            "cluster.kind=kafka", "cluster.kafka.bootstrap=127.0.0.1:9",
            "cluster.kafka.security_protocol=SASL_PLAINTEXT", "cluster.kafka.sasl_mechanism=PLAIN",
            "cluster.kafka.sasl_username=mesh", "timing.cluster_wait_s=0",
            f"cluster.kafka.sasl_password_file={password_file}",
        ]  # fmt: skip
        third = Organization.init(tmp_path / "third", "third.example")
        refused = third.refused(*kafka)
        said.append(CliResult(1, "", f"{refused}"))

        # 3. everything that came out, and everything that lies or runs there
        secrets = secrets_of(acme) | secrets_of(globex) | {"words": words, "password": PASSWORD}
        places = {f"command {n}": result.out + result.err for n, result in enumerate(said)}
        for gateway in (acme, globex):
            places |= {
                f"{gateway.org} wrong token": unauthorised(gateway),
                f"{gateway.org} metrics": metrics(gateway),
                f"{gateway.org} audit": gateway.mesh("audit", "list", "--json").out,
                f"{gateway.org} status": gateway.mesh("status", "--json").out,
                f"{gateway.org} log": gateway.log,
                f"{gateway.org} files": own_files(gateway),
            }
        places["process list"] = command_lines()

        # 4. the search sees what is there: the secrets' own files hold them
        assert secrets["acme.example admin token"] in (acme.home / "state" / "admin.token").read_text()
        shown = [
            f"{name} in {place}" for name, value in secrets.items() for place, text in places.items() if value in text
        ]
        assert not shown

        # 5. and every refusal was one, not a traceback
        assert not [result for result in said if "Traceback" in result.out + result.err]
