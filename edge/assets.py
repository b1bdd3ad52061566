"""A file of a page of ours, under a path that holds a part of its hash: it may be cached for ever."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that never changes under its path; `under` is the folder of its page, such as /docs."""

    under: str
    name: str
    data: bytes
    content_type: str

    @property
    def hash(self) -> str:
        return hashlib.sha256(self.data).hexdigest()[:12]

    @property
    def path(self) -> str:
        return f"{self.under}/{self.hash}/{self.name}"

    @property
    def variable(self) -> str:
        """What its path is called in the page's template."""
        return self.name.replace("-", "_").replace(".", "_")
