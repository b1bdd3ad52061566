"""Rate limits: how much a client may ask for, counted by all edges together in Redis.

`rates` says which limits there are and where a client stands in one; `shared` counts in Redis, `local` in this process
while Redis is away, and `counter` decides between the two. `admission` asks them, in the order that keeps a stranger's
guesses cheap.
"""

from edge.limits.admission import Admission
from edge.limits.counter import Counter
from edge.limits.rates import Rate, Rates
from edge.limits.shared import SharedCounter

__all__ = ["Admission", "Counter", "Rate", "Rates", "SharedCounter"]
