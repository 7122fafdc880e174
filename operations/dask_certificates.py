"""Draw the certificates of the Dask cluster that searches train on.

Members accept every certificate of the same authority, whatever its name. The authority's key is
deleted at once, so nobody can issue another one.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from mlstack.files import sync_tree, write_atomically
from operations.errors import StackError

MEMBERS: Final = ("scheduler", "worker")
"""Names of the files, without `.pem`; a search uses the worker's."""

_DAYS = "3650"
_CONFIGURATION = """
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[member]
basicConstraints = critical, CA:FALSE
authorityKeyIdentifier = keyid
extendedKeyUsage = serverAuth, clientAuth
"""
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def draw(folder: Path, owner: int | None = None) -> bool:
    """Create the certificates unless they are there; return whether they were created.

    Each file has a key, its certificate and the authority's. Only its owner can read it: the user
    and group `owner`, or the current user if None. Raises StackError without openssl.
    """
    if all((folder / f"{member}.pem").exists() for member in MEMBERS):
        return False
    if shutil.which("openssl") is None:
        raise StackError("TRAIN_ENGINE=dask needs openssl for its certificates: install it")
    new = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        with tempfile.TemporaryDirectory() as scratch:
            _issue(Path(scratch), new, owner)
        # All certificates must be of one authority.
        shutil.rmtree(folder, ignore_errors=True)
        sync_tree(new)
        new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return True


def _issue(scratch: Path, folder: Path, owner: int | None) -> None:
    configuration = scratch / "openssl.cnf"
    configuration.write_text(_CONFIGURATION)
    subject = ("-config", "openssl.cnf", "-subj", "/CN=Dask cluster of mlstack")
    authority = ("req", "-x509", "-days", _DAYS, "-extensions", "authority", *_NEW_KEY, *subject)
    _openssl(scratch, *authority, "-keyout", "ca.key", "-out", "ca.crt")
    for member in MEMBERS:
        _openssl(scratch, "req", "-new", *_NEW_KEY, *subject, "-keyout", "key", "-out", "request")
        extensions = ("-extfile", "openssl.cnf", "-extensions", "member")
        sign = ("x509", "-req", "-in", "request", "-CA", "ca.crt", "-CAkey", "ca.key")
        _openssl(scratch, *sign, "-CAcreateserial", "-days", _DAYS, *extensions, "-out", "crt")
        path = folder / f"{member}.pem"
        parts = ((scratch / name).read_bytes() for name in ("key", "crt", "ca.crt"))
        # The whole folder is synced when it is complete.
        write_atomically(path, b"".join(parts), sync=False, mode=0o600)
        if owner is not None:
            os.chown(path, owner, owner)
    if owner is not None:
        os.chown(folder, owner, owner)


def _openssl(folder: Path, *arguments: str) -> None:
    done = subprocess.run(
        ["openssl", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise StackError(f"openssl {arguments[0]} failed: {done.stderr.strip()}")
