"""The page at `/docs`: the OpenAPI document for people, to read and to try.

Owns: the page and its own style and start. Takes: the document, as the edge serves it at `/openapi.json`.
What shows it is Swagger UI, whose files stand in `swagger-ui/` as its authors made them (`tools/vendor.py`):
nothing is fetched from elsewhere. Without JavaScript the page is a plain list of all routes.
"""

from edge.docs.page import POLICY, assets, page

__all__ = ["POLICY", "assets", "page"]
