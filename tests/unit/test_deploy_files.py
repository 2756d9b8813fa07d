"""The files in deploy/ say what the program says: commands, settings, secrets, metrics."""

from __future__ import annotations

import configparser
import importlib.util
import json
import re
from pathlib import Path

import pytest
import yaml

from dashtrade.services import endpoint
from dashtrade.settings import Settings, environment_names, secret_fields
from webhook.metrics import Metrics

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
if not DEPLOY.is_dir():
    pytest.skip("deploy/ is not beside the tests", allow_module_level=True)
COMPOSE = yaml.safe_load((DEPLOY / "compose.yml").read_text())
MANIFESTS = [each for each in yaml.safe_load_all((DEPLOY / "kubernetes" / "dashtrade.yaml").read_text()) if each]
OURS = {name: each for name, each in COMPOSE["services"].items() if str(each["image"]).startswith("dashtrade:")}

#: service → the secrets it may know, as in the processes of `dashtrade up`
SECRETS = {
    "migrate": {"database_url", "encryption_key", "signin_key", "session_secret", "pages_password"},
    "dashboards": {"database_url", "signin_key", "session_secret", "pages_password"},
    "webhook": {"database_url"},
    "trader": {"database_url", "encryption_key", "session_secret"},
    "jobs": {"database_url", "encryption_key", "pages_password"},
    "simulator": {"database_url", "session_secret"},
}
KNOWN = {name for field in Settings.model_fields for name in environment_names(field)}
KNOWN |= {f"{name}_FILE" for field in secret_fields() for name in environment_names(field)}
FOREIGN = {"HEALTH_URL", "FORWARDED_ALLOW_IPS"}


def containers(manifest):
    spec = manifest.get("spec", {}).get("template", {}).get("spec", {})
    return spec.get("containers", [])


def runnable(command: list[str]) -> bool:
    if command[:2] == ["python", "-m"]:
        found = importlib.util.find_spec(command[2])
        package = found is not None and found.submodule_search_locations is not None
        return found is not None and (not package or importlib.util.find_spec(f"{command[2]}.__main__") is not None)
    from dashtrade.cli import app

    names = {each.name or each.callback.__name__ for each in app.registered_commands}
    return command[0] == "dashtrade" and command[1] in names


def test_each_service_runs_a_command_that_exists_and_knows_its_secrets_only():
    assert set(OURS) == set(SECRETS)
    for name, service in OURS.items():
        assert runnable(service["command"]), name
        assert set(service["secrets"]) == SECRETS[name], name
        named = {key: value for key, value in service["environment"].items() if key.endswith("_FILE")}
        assert {value.removeprefix("/run/secrets/") for value in named.values()} == SECRETS[name], name
        assert set(service["environment"]) <= KNOWN | FOREIGN, name
        assert service["read_only"] and service["cap_drop"] == ["ALL"] and service["deploy"]["resources"]["limits"]
    for name, service in COMPOSE["services"].items():
        assert "healthcheck" in service or service["environment"]["HEALTH_URL"], f"{name} has no health check"
        assert service["restart"] == ("no" if name == "migrate" else "unless-stopped")
    assert set(COMPOSE["services"]["proxy"]["ports"]) >= {"80:80", "443:443"}
    assert not any("ports" in service for service in OURS.values()), "only the proxy is reached from outside"


def test_health_is_asked_where_it_is_served():
    for name, service in OURS.items():
        if name in ("migrate", "dashboards", "webhook"):
            continue
        port = service["environment"][f"DASHTRADE_{name.upper()}_METRICS_PORT"]
        assert service["environment"]["HEALTH_URL"] == f"http://127.0.0.1:{port}/health/ready"
    assert ":5000/" in OURS["dashboards"]["environment"]["HEALTH_URL"]
    assert ":8080/" in OURS["webhook"]["environment"]["HEALTH_URL"]


def test_kubernetes_says_the_same():
    kinds = {(each["kind"], each["metadata"]["name"]): each for each in MANIFESTS}
    for name in ("dashboards", "webhook", "trader", "jobs"):
        deployment = kinds["Deployment", name]
        assert deployment["spec"]["replicas"] >= 2
        (container,) = containers(deployment)
        assert container["command"] == OURS[name]["command"]
        files = {each["name"] for each in container["env"] if each["name"].endswith("_FILE")}
        assert files <= KNOWN and len(files) == len(SECRETS[name])
        volumes = {each["name"]: each for each in deployment["spec"]["template"]["spec"]["volumes"]}
        assert {each["key"] for each in volumes["secrets"]["secret"]["items"]} == SECRETS[name]
        assert {container[probe]["httpGet"]["path"] for probe in ("livenessProbe", "startupProbe")} == {"/health/live"}
        assert container["readinessProbe"]["httpGet"]["path"] == "/health/ready"
    assert set(kinds["ConfigMap", "dashtrade"]["data"]) <= KNOWN
    affinity = kinds["Ingress", "dashboards"]["metadata"]["annotations"]
    assert affinity["nginx.ingress.kubernetes.io/affinity"] == "cookie"


@pytest.mark.parametrize("path", sorted((DEPLOY / "systemd").glob("dashtrade*.service")), ids=lambda path: path.stem)
def test_units(path):
    unit = configparser.RawConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read_string(path.read_text())
    command = unit["Service"]["ExecStart"].removeprefix("/opt/dashtrade/bin/").split()
    assert runnable(command)
    files = set(re.findall(r"^Environment=(\w+_FILE)=%d/(\w+)$", path.read_text(), re.MULTILINE))
    assert {name for name, _ in files} <= KNOWN
    role = path.stem.removeprefix("dashtrade").lstrip("-")
    if role in SECRETS:
        assert {secret for _, secret in files} == SECRETS[role]
        assert {
            line.split(":")[0] for line in re.findall(r"^LoadCredential=(.*)$", path.read_text(), re.MULTILINE)
        } == (SECRETS[role])


def metric_names() -> set[str]:
    """What is really exported, with the suffixes that Prometheus adds."""
    found = {"dashtrade_build_info", "dashtrade_database_up", "dashtrade_orders_open"}
    found |= {name for name, _ in endpoint.GAUGES.values()}
    found |= {"process_resident_memory_bytes", "process_cpu_seconds_total"}
    for registry in (endpoint.REGISTRY, Metrics()._registry):
        for family in registry.collect():
            suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
            found |= {family.name + suffix for suffix in suffixes}
    return found


def used(expression: str) -> set[str]:
    return set(re.findall(r"\b((?:dashtrade|process)_[a-z_]+)\b", re.sub(r'"[^"]*"', '""', expression)))


def test_alert_rules_and_dashboard_name_metrics_that_exist():
    rules = yaml.safe_load((DEPLOY / "prometheus" / "rules.yml").read_text())
    expressions = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    board = json.loads((DEPLOY / "grafana" / "dashtrade.json").read_text())
    drawn = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert len(expressions) >= 10 and len(drawn) >= 15
    names = metric_names()
    for expression in expressions + drawn:
        assert used(expression), expression
        assert used(expression) <= names, expression
    panels = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
    assert len(set(panels)) == len(panels) and len({panel["id"] for panel in board["panels"]}) == len(panels)


def test_the_image_holds_what_the_build_needs():
    text = (DEPLOY / "Dockerfile").read_text()
    copied = {word for line in re.findall(r"^COPY (?!--)(.*)$", text, re.MULTILINE) for word in line.split()[:-1]}
    allowed = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"}
    assert copied == allowed
    assert copied >= {"apps", "notebooks", "migrations", "dashtrade", "webhook", "setup.py"}
    assert re.search(r"^USER 10001", text, re.MULTILINE) and "HEALTHCHECK" in text


@pytest.mark.parametrize("field", secret_fields())
def test_a_secret_can_be_a_file(field, tmp_path, monkeypatch):
    from dashtrade.errors import ConfigurationError
    from dashtrade.settings import load_settings

    for name in KNOWN:
        monkeypatch.delenv(name, raising=False)
    name = environment_names(field)[0]
    path = tmp_path / "secret"
    path.write_text("postgresql://a:b@c/d\n")
    monkeypatch.setenv(f"{name}_FILE", str(path))
    found = getattr(load_settings(_env_file=None), field)
    assert found.get_secret_value() == "postgresql://a:b@c/d"
    monkeypatch.setenv(name, "other")
    with pytest.raises(ConfigurationError, match="both set"):
        load_settings(_env_file=None)
    monkeypatch.delenv(name)
    path.write_text("\n")
    with pytest.raises(ConfigurationError, match="is empty"):
        load_settings(_env_file=None)
    monkeypatch.setenv(f"{name}_FILE", str(tmp_path / "missing"))
    with pytest.raises(ConfigurationError, match=f"{name}_FILE: .* cannot be read"):
        load_settings(_env_file=None)
