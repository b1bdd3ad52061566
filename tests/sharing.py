"""How the workers of one run share the tests: by file, and by folder where that starts something large."""

from xdist.scheduler import LoadScopeScheduling

# A whole mesh, a year of events, four programs: for one worker, not for each.
_TOGETHER = ("tests/journey/", "tests/analytics_svc/agreement/", "tests/edge/transcoder/standalone/")


class Sharing(LoadScopeScheduling):  # type: ignore[misc] # xdist has no types
    """A worker that has nothing more to do takes the next file."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((folder for folder in _TOGETHER if file.startswith(folder)), file)
