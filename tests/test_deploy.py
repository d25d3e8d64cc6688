"""What lies in deploy/ agrees with the product: its settings, routes and ports."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from scailookup.errors import SettingsError
from scailookup.processes import CRASH_LOOP
from scailookup.settings import Settings, load

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(p for p in (ROOT / "deploy").rglob("*") if p.is_file() and p.suffix != ".pyc")
SETTINGS = {str(field.validation_alias) for field in Settings.model_fields.values()} | {"SCAIFLOW_ENV_FILE"}
UNIT = ROOT / "deploy/systemd/scailookup@.service"
KUBERNETES = ROOT / "deploy/kubernetes"
DOCKERFILE = (ROOT / "deploy/docker/Dockerfile").read_text()


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_setting_is_known(file: Path) -> None:
    """A file with a name that the start would refuse is of no use; those of service links are meant so."""
    named = set(re.findall(r"\b(?:SCAI|VAULT)[A-Z]*_[A-Z_]*[A-Z]\b", file.read_text()))
    assert set() == named - SETTINGS - {"SCAILOOKUP_SERVICE_HOST"}


def test_the_images_settings_serve() -> None:
    """With those of the image and what everybody has to set the start goes well, on every address."""
    environ = dict(re.findall(r"(SCAI\w+)=(\S+)", DOCKERFILE))
    environ |= {"SCAIKEY_BASE_URL": "https://scaikey.example", "SCAIKEY_AUDIENCE": "app"}
    made = load(environ, system_file=None)
    assert ("0.0.0.0", 8001, "0.0.0.0:8002") == (made.host, made.port, made.admin)


def test_the_config_map_serves() -> None:
    """What the ConfigMap sets is enough, and sound."""
    data = (KUBERNETES / "configmap.yaml").read_text().partition("\ndata:\n")[2]
    load(dict(re.findall(r"(?m)^  (\w+): (.*)$", data)), system_file=None)


def test_pods_get_no_settings_from_the_services_name() -> None:
    """Kubernetes' service links would stop the start."""
    assert "\n      enableServiceLinks: false\n" in (KUBERNETES / "deployment.yaml").read_text()


def test_the_autoscaler_alone_says_how_many_pods_there_are() -> None:
    """A number in the Deployment would be set again by each apply, also under load."""
    assert not re.search(r"(?m)^  replicas:", (KUBERNETES / "deployment.yaml").read_text())
    assert re.search(r"(?m)^  minReplicas: 2$", (KUBERNETES / "autoscaling.yaml").read_text())


def test_an_init_container_makes_a_secrets_file_that_is_taken(tmp_path: Path) -> None:
    """What Kubernetes mounts has a right for its group and is refused; the guide's copy is not."""
    guide = (ROOT / "docs/deploying.md").read_text()
    (command,) = re.findall(r"(?m)^ +command: (\[.*\])$", guide)
    *install, mounted, own = json.loads(command)
    assert f"`SCAILOOKUP_SECRETS_FILE: {own}`" in guide
    source, copy = tmp_path / Path(mounted).name, tmp_path / "own"
    source.write_text("[tenants]\n")
    source.chmod(0o440)
    subprocess.run([*install, source, copy], check=True)
    base = {"SCAIKEY_BASE_URL": "https://scaikey.example", "SCAIKEY_AUDIENCE": "app"}
    with pytest.raises(SettingsError, match="chmod 600"):
        load({**base, "SCAILOOKUP_SECRETS_FILE": str(source)}, system_file=None)
    load({**base, "SCAILOOKUP_SECRETS_FILE": str(copy)}, system_file=None)


def test_every_manifest_is_applied() -> None:
    """The kustomization names each file beside it."""
    named = set(re.findall(r"(?m)^  - (\S+)$", (KUBERNETES / "kustomization.yaml").read_text()))
    assert {path.name for path in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml"} == named


def test_systemd_gives_up_only_where_trying_again_is_in_vain() -> None:
    """On bad settings and on workers that keep ending; never because a start failed a few times in a row."""
    sections = dict(re.findall(r"(?ms)^\[(\w+)\]\n(.*?)(?=^\[|\Z)", UNIT.read_text()))
    assert "\nStartLimitIntervalSec=0\n" in sections["Unit"]
    assert "\nRestart=always\n" in sections["Service"]
    assert f"\nRestartPreventExitStatus=2 {CRASH_LOOP}\n" in sections["Service"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_the_unit_is_shut_in() -> None:
    """systemd rates what the service could still reach at 2.5 of 10 at most."""
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=25", "--no-pager", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_image_is_made_of_what_the_package_needs() -> None:
    """Each thing that is copied from the tree is let into the build."""
    copied = {name for line in re.findall(r"(?m)^COPY ((?!--).*) \S+$", DOCKERFILE) for name in line.split()}
    let_in = set(re.findall(r"(?m)^!(\S+)$", (ROOT / ".dockerignore").read_text()))
    assert copied == let_in


def test_grafana_finds_what_compose_mounts() -> None:
    """The dashboard lies where its provisioning looks, and Prometheus is where the data source asks."""
    compose = (ROOT / "deploy/docker/compose.monitoring.yaml").read_text()
    provider = (ROOT / "deploy/grafana/provisioning/dashboards/scailookup.yaml").read_text()
    source = (ROOT / "deploy/grafana/provisioning/datasources/scailookup.yaml").read_text()
    mounts = dict(re.findall(r"(?m)^      - (\.\./\S+?):(/\S+):ro$", compose))
    assert re.findall(r"(?m)^      path: (\S+)$", provider) == [mounts["../grafana/dashboards"]]
    assert all((ROOT / "deploy/docker" / source).exists() for source in mounts)
    assert re.findall(r"(?m)^    url: \$\{(\w+)\}$", source) == ["PROMETHEUS_URL"]
    assert "\n      PROMETHEUS_URL: http://prometheus:9090\n" in compose


def test_prometheus_asks_the_nodes_of_the_guide() -> None:
    """Its targets are the admin listeners of docs/deploying.md; for containers the guide replaces each."""
    config = (ROOT / "deploy/prometheus/prometheus.yml").read_text()
    guide = (ROOT / "docs/deploying.md").read_text()
    targets = re.findall(r"(?m)^          - (\S+:\d+)$", config)
    assert targets == re.findall(r"SCAILOOKUP_ADMIN=(\S+?)\\n", guide)
    assert targets == re.findall(r"s/(\S+)/node-\w:8002/", guide)
