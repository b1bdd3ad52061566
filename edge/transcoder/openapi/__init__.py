"""OpenAPI 3.1 from descriptors: `document(descriptors, routes, about)` is the whole of it.

Owns: how templates, fields, comments and `buf.validate` rules are said in OpenAPI. Knows nothing of this product.
Takes: the descriptor set and the compiled routes of a transcoder, and `About` what the application says besides.
"""

from edge.transcoder.openapi.document import About, document
from edge.transcoder.openapi.operations import Example
from edge.transcoder.openapi.replies import problem, reference

__all__ = ["About", "Example", "document", "problem", "reference"]
