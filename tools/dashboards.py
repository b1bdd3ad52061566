"""Writes the Grafana dashboards in observability/grafana/ from the short description of them here.

With --check nothing is written; exit code 1 if a file is not what it would be.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "observability" / "grafana"
_WIDTH, _HEIGHT = 8, 7  # three panels in a row of Grafana's 24 columns
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, slots=True)
class Panel:
    """One graph: each query under its legend."""

    title: str
    unit: str
    queries: Mapping[str, str]
    means: str = ""


def _quantile(q: str, metric: str, *, by: str) -> str:
    return f"histogram_quantile({q}, sum by ({by}, le) (rate({metric}_bucket[$__rate_interval])))"


def _rate(metric: str, *, by: str, where: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{_in(where)}[$__rate_interval]))"


def _in(where: str) -> str:
    return f"{{{where}}}" if where else ""


_HTTP = "http_server_request_duration_seconds"
_RPC = "rpc_server_call_duration_seconds"
_DB = "db_client_operation_duration_seconds"
_MODEL = "gen_ai_client"

DASHBOARDS: Mapping[str, Sequence[Panel]] = {
    "Requests": [
        Panel(
            "Requests",
            "reqps",
            {"{{http_response_status_code}}": _rate(f"{_HTTP}_count", by="http_response_status_code")},
        ),
        Panel(
            "Failed requests of the last hour",
            "percentunit",
            {"5xx": "chatmesh:http_errors:ratio_rate1h", "objective": "vector(0.001)"},
            "The objective is 0.1 % over 30 days.",
        ),
        Panel("Time of 95 in 100 requests", "s", {"{{http_route}}": _quantile("0.95", _HTTP, by="http_route")}),
        Panel("Connections", "short", {"{{instance}}": "edge_connections"}),
        Panel(
            "Connections ended by the edge", "ops", {"{{reason}}": _rate("edge_connections_ended_total", by="reason")}
        ),
        Panel("Requests over a limit", "reqps", {"{{rate}}": _rate("edge_rate_limited_total", by="rate")}),
    ],
    "Services": [
        Panel("RPCs", "reqps", {"{{rpc_method}}": _rate(f"{_RPC}_count", by="rpc_method")}),
        Panel(
            "RPCs that ended otherwise than well",
            "reqps",
            {
                "{{rpc_method}} {{rpc_response_status_code}}": _rate(
                    f"{_RPC}_count", by="rpc_method, rpc_response_status_code", where='rpc_response_status_code!="OK"'
                )
            },
        ),
        Panel("Time of 95 in 100 RPCs", "s", {"{{rpc_method}}": _quantile("0.95", _RPC, by="rpc_method")}),
        Panel(
            "Time of 95 in 100 RPCs, as who calls sees it",
            "s",
            {"{{job}} {{rpc_method}}": _quantile("0.95", "rpc_client_call_duration_seconds", by="job, rpc_method")},
            "What is longer here than above was spent on the way: waiting for a replica, retries, the network.",
        ),
        Panel("RPCs in progress", "short", {"{{rpc_method}}": "sum by (rpc_method) (rpc_server_active_calls)"}),
        Panel("Streams", "short", {"{{instance}}": "rpc_server_active_streams"}, "What chat is scaled by."),
        Panel("Errors by reason", "reqps", {"{{reason}}": _rate("rpc_server_errors_total", by="reason")}),
        Panel("Memory", "bytes", {"{{instance}}": "process_resident_memory_bytes"}),
        Panel("Processor", "percentunit", {"{{instance}}": "rate(process_cpu_seconds_total[$__rate_interval])"}),
        Panel("Open files", "short", {"{{instance}}": "process_open_fds"}),
    ],
    "Models": [
        Panel(
            "Answers",
            "reqps",
            {
                "{{gen_ai_provider_name}} {{outcome}}": _rate(
                    f"{_MODEL}_operation_duration_seconds_count", by="gen_ai_provider_name, outcome"
                )
            },
        ),
        Panel(
            "Time to the first text",
            "s",
            {
                "half, {{gen_ai_request_model}}": _quantile(
                    "0.5", f"{_MODEL}_time_to_first_chunk_seconds", by="gen_ai_request_model"
                ),
                "95 in 100, {{gen_ai_request_model}}": _quantile(
                    "0.95", f"{_MODEL}_time_to_first_chunk_seconds", by="gen_ai_request_model"
                ),
            },
        ),
        Panel(
            "Tokens",
            "short",
            {
                "{{gen_ai_request_model}} {{gen_ai_token_type}}": _rate(
                    f"{_MODEL}_tokens_total", by="gen_ai_request_model, gen_ai_token_type"
                )
            },
        ),
        Panel(
            "Time of whole answers",
            "s",
            {
                "{{gen_ai_request_model}}": _quantile(
                    "0.95", f"{_MODEL}_operation_duration_seconds", by="gen_ai_request_model"
                )
            },
        ),
        Panel(
            "Failed answers of the last hour",
            "percentunit",
            {"failed": "chatmesh:answers_failed:ratio_rate1h", "objective": "vector(0.01)"},
        ),
    ],
    "Engines": [
        Panel(
            "Calls",
            "ops",
            {"{{db_system_name}} {{db_operation_name}}": _rate(f"{_DB}_count", by="db_system_name, db_operation_name")},
        ),
        Panel(
            "Time of 95 in 100 calls",
            "s",
            {
                "{{db_system_name}} {{db_operation_name}}": _quantile(
                    "0.95", _DB, by="db_system_name, db_operation_name"
                )
            },
        ),
        Panel(
            "Failed calls",
            "ops",
            {"{{db_system_name}}": _rate("db_client_operation_errors_total", by="db_system_name")},
        ),
        Panel(
            "Connections to PostgreSQL",
            "short",
            {
                "{{pool}} {{state}}": "sum by (pool, state) (db_client_connections)",
                "{{pool}} at most": "sum by (pool) (db_client_connections_max)",
            },
        ),
        Panel("No connection in time", "ops", {"{{pool}}": _rate("db_client_connection_timeouts_total", by="pool")}),
        Panel(
            "Other people's servers, 95 in 100 requests",
            "s",
            {"{{server_address}}": _quantile("0.95", "http_client_request_duration_seconds", by="server_address")},
        ),
        Panel("Events that wait in an outbox", "short", {"{{outbox}}": "max by (outbox) (outbox_pending_events)"}),
        Panel("Age of the oldest of them", "s", {"{{outbox}}": "max by (outbox) (outbox_oldest_event_age_seconds)"}),
        Panel(
            "Events that consumers have not applied",
            "short",
            {
                "{{consumer}}": "min by (consumer) (events_consumer_pending)",
                "analytics": "max(analytics_backlog_events)",
            },
        ),
        Panel(
            "Events by what became of them",
            "ops",
            {
                "{{consumer}} {{outcome}}": _rate("events_consumed_total", by="consumer, outcome"),
                "analytics {{outcome}}": _rate("analytics_events_total", by="outcome"),
            },
        ),
        Panel("Age of the reports", "s", {"analytics": "max(analytics_lag_seconds)"}),
        Panel("Views that differ from the raw events", "short", {"{{view}}": "max by (view) (analytics_view_drift)"}),
        Panel("Since the last audit", "s", {"analytics": "time() - max(analytics_last_audit_timestamp_seconds)"}),
        Panel("Rows put right after Stripe's", "ops", {"{{kind}}": _rate("billing_rows_repaired_total", by="kind")}),
        Panel("Webhooks", "ops", {"{{outcome}}": _rate("billing_webhooks_total", by="outcome")}),
        Panel("Mail", "ops", {"{{kind}} {{outcome}}": _rate("auth_mails_total", by="kind, outcome")}),
    ],
}


def rendered() -> dict[Path, str]:
    """What each file holds."""
    return {
        FOLDER / f"{title.lower()}.json": json.dumps(_dashboard(title, panels), indent=2) + "\n"
        for title, panels in DASHBOARDS.items()
    }


def _dashboard(title: str, panels: Sequence[Panel]) -> dict[str, object]:
    source = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    return {
        "title": f"chatmesh: {title}",
        "uid": f"chatmesh-{title.lower()}",
        "tags": ["chatmesh"],
        "schemaVersion": 39,
        "timezone": "utc",
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [source]},
        "panels": [_panel(number, panel) for number, panel in enumerate(panels)],
    }


def _panel(number: int, panel: Panel) -> dict[str, object]:
    row, column = divmod(number, 24 // _WIDTH)
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.means,
        "datasource": _SOURCE,
        "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {"refId": chr(ord("A") + n), "expr": expression, "legendFormat": legend, "datasource": _SOURCE}
            for n, (legend, expression) in enumerate(panel.queries.items())
        ],
    }


def main() -> None:
    files = rendered()
    if sys.argv[1:] == ["--check"]:
        stale = [path.name for path, text in files.items() if not path.exists() or path.read_text() != text]
        sys.exit(f"not fresh: {', '.join(stale)}; run {__file__}" if stale else 0)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        path.write_text(text)


if __name__ == "__main__":
    main()
