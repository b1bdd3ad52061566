"""The fuzz targets themselves: they accept their seeds, and what was found once stays fixed."""

import pytest

from tests.fuzz.targets import TARGETS

SEEDS = [(name, seed) for name, target in TARGETS.items() for seed in target.seeds]
FOUND = [
    ("query", b"bytesValue=\xfc"),  # base64 refuses text that is not ASCII with another error than other text
]


@pytest.mark.parametrize(("name", "data"), SEEDS + FOUND)
def test_a_seed_or_an_old_finding_is_no_finding(name: str, data: bytes) -> None:
    TARGETS[name].run(data)
