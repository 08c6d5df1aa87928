//! The dashboard, the alerts and the table of metrics speak of what a running server exposes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde_json::Value;

use crate::support::{process::Process, tls::TestCa};

const TOML: &str = "[[clients]]\nclient_id = \"service\"\nclient_secret = \"secret\"\naccess_token_signing_alg = \"HS256\"\n";

/// Metrics that no operator looks at for long, and so are not on the dashboard.
const NOT_SHOWN: [&str; 0] = [];

/// Labels that Prometheus adds, and `le`, which it reads from a histogram's name.
const LABELS_OF_PROMETHEUS: [&str; 2] = ["job", "instance"];

/// A metric as it is exposed.
#[derive(Debug, Default)]
struct Exposed {
    kind: String,
    labels: BTreeSet<String>,
}

fn file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// What a server with TLS exposes after it has issued a token, by the name of its samples without `_bucket`, `_count` and
/// `_sum`.
async fn exposed() -> BTreeMap<String, Exposed> {
    let directory = tempfile::tempdir().unwrap();
    let pair = TestCa::new().server();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    fs::write(&cert, pair.certificates).unwrap();
    fs::write(&key, pair.key).unwrap();
    let environment = [("MINTAGE_TLS_CERT_FILE", &*cert), ("MINTAGE_TLS_KEY_FILE", &key)];
    let mut process = Process::spawn(TOML, "exec \"$@\"", &environment);
    assert!(process.eventually(async |this| this.get(this.ops, "/readyz").await == Some(200)).await);
    let client = reqwest::Client::builder().danger_accept_invalid_certs(true).build().unwrap();
    let request = client.post(format!("https://{}/token", process.address));
    let request = request.basic_auth("service", Some("secret"));
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(request.body("grant_type=client_credentials").send().await.unwrap().status(), 200);
    let text = reqwest::get(format!("http://{}/metrics", process.ops)).await.unwrap().text().await.unwrap();
    read(&text)
}

fn read(text: &str) -> BTreeMap<String, Exposed> {
    let mut metrics: BTreeMap<String, Exposed> = BTreeMap::new();
    let mut kind = "";
    for line in text.lines().filter(|line| *line != "# EOF") {
        if let Some(described) = line.strip_prefix("# TYPE ") {
            kind = described.split_once(' ').unwrap().1;
        }
        if line.starts_with('#') {
            continue;
        }
        let end = line.find(['{', ' ']).unwrap();
        let name = if kind == "histogram" { without_suffix(&line[..end]) } else { &line[..end] };
        let metric = metrics.entry(name.to_owned()).or_default();
        metric.kind = kind.to_owned();
        if line[end..].starts_with('{') {
            let labels = line[end + 1..].split("\",").filter_map(|label| label.split_once("=\""));
            metric.labels.extend(labels.map(|(name, _)| name.to_owned()));
        }
    }
    metrics
}

fn without_suffix(name: &str) -> &str {
    ["_bucket", "_count", "_sum"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}

/// Where in `text` which metrics are named.
fn names(text: &str) -> Vec<(usize, &str)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut at = 0;
    for word in text.split_inclusive(|c| !is_name(c)) {
        let name = word.trim_end_matches(|c| !is_name(c));
        if name.starts_with("mintage_") || name.starts_with("process_") {
            found.push((at, name));
        }
        at += word.len();
    }
    found
}

/// What is wrong with the metrics and labels that `text` names; it may be an expression, or whole files of them.
fn problems(text: &str, exposed: &BTreeMap<String, Exposed>) -> Vec<String> {
    let mut problems = Vec::new();
    for (at, name) in names(text) {
        let base = without_suffix(name);
        let found =
            exposed.get(name).or_else(|| exposed.get(base).filter(|metric| metric.kind == "histogram"));
        let Some(metric) = found else {
            problems.push(format!("no metric is named {name}"));
            continue;
        };
        if metric.kind == "histogram" && name == base {
            problems
                .push(format!("{name} is a histogram, of which there are only buckets, a count and a sum"));
        }
        let Some(selector) = text[at + name.len()..].strip_prefix('{') else { continue };
        for matcher in selector[..selector.find('}').unwrap()].split(',') {
            let label = matcher.split(['=', '!']).next().unwrap();
            if !metric.labels.contains(label) && !LABELS_OF_PROMETHEUS.contains(&label) {
                problems.push(format!("{name} has no label {label}"));
            }
        }
    }
    for group in text.split(" by (").skip(1) {
        for label in group[..group.find(')').unwrap()].split(", ") {
            let is_one = exposed.values().any(|metric| metric.labels.contains(label));
            if !is_one && !LABELS_OF_PROMETHEUS.contains(&label) {
                problems.push(format!("no metric has a label {label}"));
            }
        }
    }
    problems
}

/// Every expression of a dashboard.
fn expressions(panel: &Value, found: &mut Vec<String>) {
    match panel {
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_str() {
                    Some(text) if ["expr", "query", "definition"].contains(&&**name) => {
                        found.push(text.to_owned());
                    }
                    _ => expressions(value, found),
                }
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| expressions(element, found)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_dashboard_and_alerts_name_exists_and_what_exists_is_shown() {
    let exposed = exposed().await;
    let alerts = file("deploy/alerts.yaml");
    assert_eq!(problems(&alerts, &exposed), Vec::<String>::new(), "deploy/alerts.yaml");

    let dashboard: Value = serde_json::from_str(&file("deploy/grafana-dashboard.json")).unwrap();
    let mut shown = Vec::new();
    expressions(&dashboard, &mut shown);
    assert!(shown.len() > 30, "{shown:?}");
    for expression in &shown {
        assert_eq!(problems(expression, &exposed), Vec::<String>::new(), "{expression}");
    }
    let shown = shown.join("\n");
    let shown: BTreeSet<&str> = names(&shown).into_iter().map(|(_, name)| without_suffix(name)).collect();
    for name in exposed.keys() {
        assert!(shown.contains(&**name) != NOT_SHOWN.contains(&&**name), "{name}: shown or listed, not both");
    }
}

/// Panels are told apart by their number, and their data source is the one that is chosen on the dashboard.
#[test]
fn the_dashboard_can_be_imported() {
    let dashboard: Value = serde_json::from_str(&file("deploy/grafana-dashboard.json")).unwrap();
    assert_eq!(dashboard["templating"]["list"][0]["type"], "datasource");
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
        assert!(!panel["targets"].as_array().unwrap().is_empty(), "{}", panel["title"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_metrics_is_complete_and_true() {
    let exposed = exposed().await;
    let page = file("docs/metrics.md");
    let mut listed = BTreeSet::new();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let name = cells[1].trim_matches('`');
        let metric = exposed.get(name).unwrap_or_else(|| panic!("{name} does not exist"));
        let labels: BTreeSet<String> = cells[3]
            .split(' ')
            .map(|label| label.trim_matches('`').to_owned())
            .filter(|label| !label.is_empty())
            .collect();
        let mut expected = metric.labels.clone();
        expected.remove("le");
        assert_eq!((cells[2], &labels), (&*metric.kind, &expected), "{name}");
        assert!(listed.insert(name), "{name} is listed twice");
    }
    let missing: Vec<_> = exposed.keys().filter(|name| !listed.contains(&***name)).collect();
    assert!(missing.is_empty(), "docs/metrics.md lacks {missing:?}");
}

#[test]
fn a_wrong_name_or_label_is_found() {
    let exposed = read(
        "# TYPE mintage_a counter\nmintage_a_total{x=\"1\",y=\"a,b\"} 1\n# TYPE mintage_b_seconds histogram\n\
         mintage_b_seconds_bucket{le=\"1\"} 1\nmintage_b_seconds_sum 1\n# EOF\n",
    );
    for right in [
        "rate(mintage_a_total[5m])",
        "sum by (x) (mintage_a_total{y=\"1\",job=\"mintage\"})",
        "histogram_quantile(0.5, sum by (le) (mintage_b_seconds_bucket))",
    ] {
        assert_eq!(problems(right, &exposed), Vec::<String>::new(), "{right}");
    }
    for wrong in [
        "rate(mintage_a[5m])",
        "mintage_a_bucket",
        "mintage_b_seconds",
        "mintage_c_total",
        "mintage_a_total{z=\"1\"}",
        "sum by (z) (mintage_a_total)",
    ] {
        assert_eq!(problems(wrong, &exposed).len(), 1, "{wrong}");
    }
}
