from tools import chart


def test_rules_dashboards_and_the_table_of_values_are_fresh() -> None:
    """`make chart` brings them in: Helm reads no file outside of a chart."""
    assert chart.stale() == []
