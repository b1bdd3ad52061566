"""`chatmesh doctor`: what is wrong with an installation, and what to do about each thing.

Asks every engine, service and setting that the environment, `.env` or the mesh that runs here names; changes nothing.
"""

from mesh.doctor.examination import run

__all__ = ["run"]
