"""A real LDAP server: OpenLDAP's slapd on a free port, with a few people and groups, in its own folder."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from bench.peers import await_true, free_ports, make_certificate

SLAPD = shutil.which("slapd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
PATH = "/usr/sbin:/usr/bin:/bin"

SUFFIX = "dc=example,dc=com"
PEOPLE = f"ou=people,{SUFFIX}"
GROUPS = f"ou=groups,{SUFFIX}"
READER, READERS_PASSWORD = f"cn=reader,{SUFFIX}", "readers"

_CONFIG = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
pidfile {folder}/pid
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
database mdb
suffix "{suffix}"
rootdn "cn=root,{suffix}"
directory {folder}/data
access to attrs=userPassword by anonymous auth by * none
access to * by users read by {anonymous} read by * none
"""


def _entry(dn: str, *lines: str) -> str:
    return "\n".join((f"dn: {dn}", *lines, "", ""))


def _person(name: str, password: str) -> str:
    return _entry(
        f"cn={name},{PEOPLE}",
        "objectClass: inetOrgPerson",
        f"cn: {name}",
        f"sn: {name}",
        f"uid: {name}.uid",
        f"userPassword: {password}",
    )


def _group(name: str, *members: str) -> str:
    return _entry(
        f"cn={name},{GROUPS}",
        "objectClass: groupOfNames",
        f"cn: {name}",
        *(f"member: {member}" for member in members),
    )


def person(name: str) -> str:
    return f"cn={name},{PEOPLE}"


CONTENT = "".join(
    (
        _entry(SUFFIX, "objectClass: dcObject", "objectClass: organization", "dc: example", "o: example"),
        _entry(PEOPLE, "objectClass: organizationalUnit", "ou: people"),
        _entry(GROUPS, "objectClass: organizationalUnit", "ou: groups"),
        _entry(
            READER,
            "objectClass: organizationalRole",
            "objectClass: simpleSecurityObject",
            "cn: reader",
            f"userPassword: {READERS_PASSWORD}",
        ),
        _person("alice", "alice's"),
        _person("bob", "bob's"),
        _group("users", person("alice"), person("bob")),
        _group("admins", person("alice")),
        _group("all", f"cn=users,{GROUPS}"),
    )
)


class Slapd:
    """See the module; a context manager. Anonymous clients may look only if `anonymous_reads`."""

    def __init__(self, folder: Path, *, anonymous_reads: bool = False) -> None:
        self.port, self.tls_port = free_ports(2)
        self._folder = folder
        self._anonymous = "anonymous" if anonymous_reads else "self"
        self.certificate, self._key = make_certificate(folder)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Slapd:
        folder = self._folder
        (folder / "data").mkdir()
        config = folder / "slapd.conf"
        config.write_text(
            _CONFIG.format(
                folder=folder,
                certificate=self.certificate,
                key=self._key,
                suffix=SUFFIX,
                anonymous=self._anonymous,
            )
        )
        assert SLAPD is not None
        add = [str(Path(SLAPD).with_name("slapadd")), "-f", str(config), "-q"]
        done = subprocess.run(add, input=CONTENT.encode(), capture_output=True, timeout=30)
        assert done.returncode == 0, done.stderr.decode()
        urls = f"ldap://127.0.0.1:{self.port} ldaps://127.0.0.1:{self.tls_port}"
        command = [SLAPD, "-f", str(config), "-h", urls, "-d", "0"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        await_true(self._listens, 30, "slapd ready")
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def _listens(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5):
                return True
        except OSError:
            return False


def skip_without_slapd() -> None:
    if SLAPD is None:
        assert "CI" not in os.environ, "Debian's package slapd is not installed"
        pytest.skip("no slapd command (on Debian: apt-get install slapd)")
