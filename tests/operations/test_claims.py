from bench.claims import README, with_table


def test_the_readme_claims_what_the_benches_measured_last() -> None:
    readme = README.read_text()

    assert with_table(readme) == readme, "make claims"
