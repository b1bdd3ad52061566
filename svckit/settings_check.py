"""`python -m svckit.settings_check module:Class…`: the problems that each would find here, as one JSON object."""

import json
import pkgutil
import sys
from collections.abc import Sequence

from svckit.settings import SettingsError, load


def problems(names: Sequence[str]) -> dict[str, list[str]]:
    """List the problems of each settings class, none where all is right; by the name it was given under."""
    found: dict[str, list[str]] = {}
    for name in names:
        try:
            load(pkgutil.resolve_name(name))
            found[name] = []
        except SettingsError as error:
            found[name] = list(error.problems)
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(problems(sys.argv[1:])) + "\n")
