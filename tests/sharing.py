"""How the workers of one run share the tests: by file, and by folder where that starts something large."""

from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

# A whole mesh, a year of events, four programs: for one worker, not for each.
_TOGETHER = ("tests/journey/", "tests/analytics_svc/agreement/", "tests/edge/transcoder/standalone/")


class Sharing(LoadScopeScheduling):  # type: ignore[misc] # xdist has no types
    """A worker that has nothing more to do takes the next file."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((folder for folder in _TOGETHER if file.startswith(folder)), file)

    def _assign_work_unit(self, node: WorkerController) -> None:
        """Send all tests of a unit: those of Schemathesis share ids, and xdist sends the first test of an id alone."""
        scope, unit = self.workqueue.popitem(last=False)
        self.assigned_work.setdefault(node, {})[scope] = unit
        found = enumerate(self.registered_collections[node])
        node.send_runtest_some([index for index, nodeid in found if nodeid in unit and not unit[nodeid]])
