"""The resources of the management API: one file each, with its routes in `ROUTES`. See the package above."""

from __future__ import annotations

from pillarbox.ops.management.resources import whoami
from pillarbox.ops.management.routes import Resource

RESOURCES = (Resource("Users", whoami.ROUTES),)
"""In the order of the manual; the first route that fits a path counts."""
