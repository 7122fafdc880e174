"""How scheduler, workers and searches of a Dask cluster reach and trust each other.

Whoever reaches a Dask port may run code there. So every connection is encrypted, and both ends show
a certificate of the cluster's own authority.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from distributed import Security

from mlstack.errors import SettingsError
from mlstack.settings import ROOT, Settings


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster as one of its members knows it.

    Args:
        address: The scheduler's, `tls://HOST:PORT`.
        certificate: PEM file with the member's key and certificate, and the authority's.
    """

    address: str
    certificate: Path

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the cluster that the settings name."""
        return cls(settings.dask_scheduler, ROOT / settings.dask_certificate)

    def security(self) -> Security:
        """Return the terms of every connection; raise SettingsError without a certificate."""
        if not self.certificate.is_file():
            raise SettingsError(
                f"DASK_CERTIFICATE={self.certificate}: there is no such file: set-up with "
                "TRAIN_ENGINE=dask creates it"
            )
        file = str(self.certificate)
        members = {f"tls_{role}_cert": file for role in ("scheduler", "worker", "client")}
        return Security(require_encryption=True, tls_ca_file=file, **members)
