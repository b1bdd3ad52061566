"""All SQL of the analytics service, a file for each kind of report, and one for the events themselves.

Reports read the views. Spans are instants, cut into buckets at the starts that `ranges` computed.
"""

from analytics_svc.store.events import add_events as add_events
from analytics_svc.store.events import lacking as lacking
from analytics_svc.store.events import unseen as unseen
