"""The alerting rules as Prometheus would read them; tests/it/deploy.rs looks at the metrics they name."""

import pathlib
import re

import yaml

ALERTS = yaml.safe_load((pathlib.Path(__file__).resolve().parents[2] / "deploy/alerts.yaml").read_text())
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]


def test_every_rule_is_complete_and_says_what_to_do():
    assert len(RULES) >= 12
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}, rule["alert"]
        assert re.fullmatch(r"\d+[mh]", rule.get("for", "0m")), rule["alert"]
        assert rule["labels"]["severity"] in {"page", "ticket"}, rule["alert"]
        assert set(rule["annotations"]) == {"summary", "description"}, rule["alert"]


def test_what_a_summary_shows_is_left_by_its_expression():
    for rule in RULES:
        shown = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
        kept = re.search(r" by \(([^)]*)\)", rule["expr"])
        if kept:
            assert shown <= set(kept[1].split(", ")), rule["alert"]


def test_brackets_are_closed():
    for rule in RULES:
        for opening, closing in ["()", "{}", "[]"]:
            assert rule["expr"].count(opening) == rule["expr"].count(closing), rule["alert"]
