"""Pages for those who run chatmesh, under `/console`, each in a folder or file of its own."""
