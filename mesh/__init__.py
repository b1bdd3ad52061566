"""The `chatmesh` command: the whole mesh on one machine, by `chatmesh up`.

Starts the embedded engines, a mail catcher, the local model, the Stripe emulator, the four services and the edge, each
as a supervised process. `doctor` and `smoke` look at any mesh from outside. Knows the services by the names of their
modules only (`processes`); imports svckit alone.
"""
