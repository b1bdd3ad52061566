"""The page at `/console/analytics`: the reports as charts and tables, for analysts and administrators.

Owns: the page, its style and its script. Takes: the figures, from the API, with the session's cookie; it has no rights
of its own. Charts are drawn by Chart.js, which stands in `chart.js/` as its authors made it (`tools/vendor.py`):
nothing is fetched from elsewhere.
"""

from edge.console.analytics.page import POLICY, assets, page

__all__ = ["POLICY", "assets", "page"]
