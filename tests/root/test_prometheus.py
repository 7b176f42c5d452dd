# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics, alert rules and dashboard with Debian's promtool, Prometheus and node_exporter."""

from __future__ import annotations

import json
import re
import socket
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import pytest

from lab import prometheus
from rear_core import health
from rear_core.health.checks import Check, State
from rear_core.health.forms import METRICS
from rear_core.health.forms import prometheus as metrics_of

pytestmark = [pytest.mark.root, pytest.mark.slow]

MONITORING = Path(health.__file__).parents[1] / "monitoring"
RULES = MONITORING / "alert-rules.yml"
DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text())
# So long ago that it is stale.
NOW = 1e9
# Every metric once; and checks with and without something to say.
VALUES = {name: 1.5 for name in METRICS if name not in ("check_state", "status_timestamp_seconds")}
TEXT = metrics_of([Check("backup", State.CRITICAL, "no backup", VALUES), Check("media", State.OK, "fine")], NOW)
# What each alert is for, hours after the status; the age of a day is passed in the end.
ALERTS = """\
rule_files: [{rules}]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {{series: 'rear_check_state{{check="backup", instance="ada"}}', values: '2x2000'}}
      - {{series: 'rear_check_state{{check="layout", instance="ada"}}', values: '0x60 1x2000'}}
      - {{series: 'rear_check_state{{check="drill", instance="ada"}}', values: '3x2000'}}
      - {{series: 'rear_status_timestamp_seconds{{instance="ada"}}', values: '0x2000'}}
    alert_rule_test:
      - {{eval_time: 10m, alertname: RearCritical, exp_alerts: []}}
      - {{eval_time: 20m, alertname: RearCritical, exp_alerts: [{critical}]}}
      - {{eval_time: 100m, alertname: RearWarning, exp_alerts: []}}
      - {{eval_time: 130m, alertname: RearWarning, exp_alerts: [{warning}]}}
      - {{eval_time: 11h, alertname: RearUnknown, exp_alerts: []}}
      - {{eval_time: 13h, alertname: RearUnknown, exp_alerts: [{unknown}]}}
      - {{eval_time: 23h, alertname: RearStatusStale, exp_alerts: []}}
      - {{eval_time: 25h, alertname: RearStatusStale, exp_alerts: [{stale}]}}
"""


def expected(severity: str, check: str, summary: str, description: str) -> str:
    """An alert as promtool expects it."""
    labels = {"severity": severity, "instance": "ada", **({"check": check} if check else {})}
    return json.dumps(
        {"exp_labels": labels, "exp_annotations": {"summary": f"rear on ada{summary}", "description": description}}
    )


def test_promtool_finds_nothing_wrong_with_metrics_and_rules() -> None:
    assert prometheus.promtool("check", "metrics", given=TEXT) == ""
    assert "SUCCESS: 4 rules found" in prometheus.promtool("check", "rules", RULES)


def test_alerts_come_after_their_time(tmp_path: Path) -> None:
    look = "`rear status` on that machine says"
    may_fail = f"{look} why. It could perhaps not be recovered as it is."
    timer = "See `systemctl status rear-status.timer` there: old verdicts say nothing."
    text = ALERTS.format(
        rules=RULES,
        critical=expected("critical", "backup", ": backup is critical", may_fail),
        warning=expected("warning", "layout", ": layout has a warning", f"{look} what to do."),
        unknown=expected("warning", "drill", ": drill could not be checked", f"{look} why."),
        stale=expected("critical", "", " has not been checked for a day", timer),
    )
    (tmp_path / "alerts.yml").write_text(text)
    assert "SUCCESS" in prometheus.promtool("test", "rules", tmp_path / "alerts.yml")


def test_prometheus_gets_all_that_rules_and_dashboard_ask_for(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics"
    metrics.mkdir()
    (metrics / "rear.prom").write_text(TEXT)
    with prometheus.running(tmp_path, metrics, RULES, free_ports()) as url:
        (verdict,) = prometheus.asked(url, query('rear_check_state{check="backup"}'), lambda found: found["result"])[
            "result"
        ]
        assert verdict["value"][1] == "2"
        for panel in DASHBOARD["panels"]:
            for target in panel["targets"]:
                expression = target["expr"].replace("$instance", ".*")
                assert prometheus.asked(url, query(expression), lambda found: found["result"]), panel["title"]
        alerts = prometheus.asked(url, "alerts", lambda found: len(found["alerts"]) == 2)["alerts"]
        assert {alert["labels"]["alertname"]: alert["state"] for alert in alerts} == {
            "RearCritical": "pending", "RearStatusStale": "firing",
        }  # fmt: skip


def test_rules_and_dashboard_name_metrics_that_are_there() -> None:
    named = set(re.findall(r"\brear_(\w+)", RULES.read_text() + json.dumps(DASHBOARD)))
    assert named <= {*METRICS}


def query(expression: str) -> str:
    """The address of a question to the API."""
    return f"query?query={quote(expression)}"


def free_ports() -> tuple[int, int]:
    """Two ports that nobody listens on."""
    with ExitStack() as opened:
        first, second = (opened.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2))
        return first.getsockname()[1], second.getsockname()[1]
