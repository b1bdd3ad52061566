"""All reports but the overview, computed from the facts in plain Python: what the service must agree with.

Each is a function of the facts and of what is asked, named by its RPC; it answers rows as dictionaries, or one.
"""

from collections.abc import Callable, Mapping

from tests.analytics_svc.agreement import models, money, people, subscribers, talk
from tests.analytics_svc.agreement.asked import Asked
from tests.analytics_svc.agreement.computing import Facts, Row

REPORTS: Mapping[str, Callable[[Facts, Asked], Row | list[Row]]] = {
    name: report
    for module in (people, talk, money, subscribers, models)
    for name, report in vars(module).items()
    if name.startswith("Get")
}
