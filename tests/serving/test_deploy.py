"""The files of serving/deploy, held against the schemas of what reads them and against the server they speak of."""

import copy
import json
import re
import shlex
import subprocess
import sys
import tomllib
import urllib.request
from inspect import signature
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from lorair_export.cli import app as export_app
from lorair_serving.cli import app as serve_app
from lorair_serving.cli.up import up
from lorair_serving.server import process as server_module
from lorair_serving.server.ports import Ports
from typer.main import get_command

from lorair.cli import app

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "serving" / "deploy"
DOCS = ROOT / "docs" / "serving.md"
KUBERNETES = "1.33"
MANIFESTS = ("deployment", "service", "hpa")
APPS = {"lorair": app, "lorair-export": export_app, "lorair-serve": serve_app}
# What a Triton without GPU exports, and what one with a GPU adds.
METRICS = {
    "nv_inference_request_success",
    "nv_inference_request_failure",
    "nv_inference_count",
    "nv_inference_exec_count",
    "nv_inference_request_duration_us",
    "nv_inference_queue_duration_us",
    "nv_inference_compute_infer_duration_us",
    "nv_inference_pending_request_count",
    "nv_cpu_memory_used_bytes",
}
GPU_METRICS = {"nv_gpu_utilization", "nv_gpu_memory_used_bytes"}


def read(name):
    return yaml.safe_load((DEPLOY / name).read_text())


def manifest(name):
    return read(f"kubernetes/{name}.yaml")


def pods():
    """The pod specifications of both ways to run in Kubernetes."""
    return [manifest("deployment")["spec"]["template"]["spec"], manifest("inferenceservice")["spec"]["predictor"]]


def accepted(words):
    """Whether the command line is one; a UsageError says what is wrong with it."""
    program, name, *arguments = words
    with get_command(APPS[program]).commands[name].make_context(name, arguments) as context:
        return context.params


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifest_is_what_kubernetes_takes(name):
    made = manifest(name)
    kubernetes_validate.validate(made, KUBERNETES, strict=True)
    broken = copy.deepcopy(made)
    broken["spec"]["replica"] = 2
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, KUBERNETES, strict=True)


def test_pod_of_the_inference_service_is_what_kubernetes_takes():
    """KServe's kind has no schema in Kubernetes; its predictor is a pod's specification with a few fields more."""
    made = manifest("inferenceservice")
    assert (made["apiVersion"], made["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    pod = {key: value for key, value in made["spec"]["predictor"].items() if key not in ("minReplicas", "maxReplicas")}
    kubernetes_validate.validate(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "lorair"}, "spec": pod}, KUBERNETES, strict=True
    )
    (container,) = pod["containers"]
    environment = {variable["name"]: variable["value"] for variable in container["env"]}
    assert container["name"] == "kserve-container" and environment["PROTOCOL"] == "v2"
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == {
        "http1": Ports.http,
        "h2c": Ports.grpc,
    }


def test_compose_file_is_what_compose_takes(tmp_path):
    def check(path):
        command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", path]
        return subprocess.run(command, capture_output=True, text=True)

    checked = check(DEPLOY / "compose.yaml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    broken = read("compose.yaml")
    broken["services"]["lorair"]["health"] = {}
    (tmp_path / "compose.yaml").write_text(yaml.safe_dump(broken))
    assert "health" in check(tmp_path / "compose.yaml").stdout


def test_probes_ask_the_server_where_it_answers():
    for pod in pods():
        (container,) = pod["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        paths = {"startupProbe": "ready", "readinessProbe": "ready", "livenessProbe": "live"}
        for probe, word in paths.items():
            asked = container[probe]["httpGet"]
            assert asked["path"] == f"/v2/health/{word}"
            assert ports.get(asked["port"], asked["port"]) == Ports.http
    health = read("compose.yaml")["services"]["lorair"]["healthcheck"]["test"]
    assert health[-1] == f"http://127.0.0.1:{Ports.http}/v2/health/ready"


def test_probes_are_answered(server):
    for word in ("ready", "live"):
        with urllib.request.urlopen(f"{server.http}/v2/health/{word}", timeout=10) as answer:
            assert answer.status == 200


def test_nobody_gives_up_before_the_server_does():
    load_s = signature(up).parameters["timeout"].default
    for pod in pods():
        startup = pod["containers"][0]["startupProbe"]
        assert startup["periodSeconds"] * startup["failureThreshold"] > load_s
        assert pod["terminationGracePeriodSeconds"] > server_module.STOP_S + 5
    service = read("compose.yaml")["services"]["lorair"]
    assert int(service["healthcheck"]["start_period"].removesuffix("s")) > load_s
    assert int(service["stop_grace_period"].removesuffix("s")) > server_module.STOP_S


def test_every_place_names_the_same_ports():
    numbers = {"http": Ports.http, "grpc": Ports.grpc, "metrics": Ports.metrics}
    deployment = manifest("deployment")["spec"]["template"]
    (container,) = deployment["spec"]["containers"]
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == numbers
    assert deployment["metadata"]["annotations"]["prometheus.io/port"] == str(Ports.metrics)
    served = manifest("service")["spec"]["ports"]
    assert {port["targetPort"]: port["port"] for port in served} == {"http": Ports.http, "grpc": Ports.grpc}
    services = read("compose.yaml")["services"]
    assert services["lorair"]["ports"] == [f"127.0.0.1:{number}:{number}" for number in numbers.values()]
    (targets,) = (job["static_configs"][0]["targets"] for job in read("prometheus.yml")["scrape_configs"])
    assert targets == [f"lorair:{Ports.metrics}"]


def test_compose_opens_nothing_beyond_this_machine():
    for name, service in read("compose.yaml")["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), name
        assert name == "lorair" or re.search(r":v?\d+\.\d+\.\d+$", service["image"]), "an image without its version"


def test_pods_have_a_gpu_shared_memory_and_no_root():
    for pod in pods():
        (container,) = pod["containers"]
        assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
        assert pod["securityContext"]["runAsNonRoot"] and container["securityContext"]["readOnlyRootFilesystem"]
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
        assert mounts["/dev/shm"]["emptyDir"]["medium"] == "Memory"
        assert "emptyDir" in mounts["/tmp"], "lorair-serve makes its scratch folder there"


def test_parts_find_each_other():
    deployment, service, hpa = (manifest(name) for name in MANIFESTS)
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"] == labels
    target = hpa["spec"]["scaleTargetRef"]
    assert [target["apiVersion"], target["kind"], target["name"]] == [
        deployment["apiVersion"],
        deployment["kind"],
        deployment["metadata"]["name"],
    ]
    (metric,) = hpa["spec"]["metrics"]
    (rule,) = manifest("prometheus-adapter")["rules"]["custom"]
    assert metric["type"] == "Pods" and metric["pods"]["metric"]["name"] == rule["name"]["as"]
    assert {value["resource"] for value in rule["resources"]["overrides"].values()} == {"namespace", "pod"}


def dockerfile():
    """Instructions and their arguments, continued lines joined."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    return [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]


def test_image_starts_a_command_that_exists():
    steps = dict(dockerfile())
    entry, usual = json.loads(steps["ENTRYPOINT"]), json.loads(steps["CMD"])
    parameters = accepted([*entry, *usual])
    assert (str(parameters["repo"]), parameters["address"]) == ("/models", "0.0.0.0")
    (container,) = manifest("inferenceservice")["spec"]["predictor"]["containers"]
    assert str(accepted([*entry, *container["args"]])["repo"]) == "/mnt/models"
    mounted = read("compose.yaml")["services"]["lorair"]["volumes"][0]
    assert mounted.endswith(":/models:ro")
    assert steps["USER"] == "1000:1000" and steps["EXPOSE"] == f"{Ports.http} {Ports.grpc} {Ports.metrics}"
    assert steps["FROM"].startswith("nvcr.io/nvidia/tritonserver:${TRITON_TAG}")


def test_image_installs_the_serving_extra():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (installed,) = (text for step, text in dockerfile() if step == "RUN" and "pip install" in text)
    assert ".[serving]" in shlex.split(installed)
    copied = [word for step, text in dockerfile() if step == "COPY" for word in text.split()[:-1]]
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert {package.split("/")[0] for package in packages} < set(copied)
    assert all((ROOT / name).exists() for name in copied)


def names_in(expression):
    """The metrics of an expression of PromQL: what is left of it without labels, ranges, groups and functions."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\bby\s*\([^)]*\)", " ", expression)
    return set(re.findall(r"\b[a-z_]\w*(?!\w|\s*\()", bare)) - {"sum"}


def expressions():
    panels = json.loads((DEPLOY / "grafana" / "lorair.json").read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def test_dashboard_shows_what_triton_exports():
    used = [names_in(expression) for expression in expressions()]
    assert all(used) and set.union(*used) <= METRICS | GPU_METRICS
    (rule,) = manifest("prometheus-adapter")["rules"]["custom"]
    assert names_in(rule["metricsQuery"]) <= METRICS and names_in(rule["seriesQuery"]) <= METRICS
    assert names_in('sum by (model) (rate(nv_wrong{model="a"}[5m])) / nv_count') == {"nv_wrong", "nv_count"}


def test_dashboard_has_one_source_and_room_for_every_panel():
    dashboard = json.loads((DEPLOY / "grafana" / "lorair.json").read_text())
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    text = json.dumps(dashboard)
    assert set(re.findall(r"\$\{?(\w+)", text)) - {"__rate_interval", "__all"} <= variables
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]}
    assert len(places) == len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_server_exports_these_metrics(server):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.ports.metrics}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    exported = set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))
    assert exported >= METRICS
    assert set(re.findall(r'nv_inference_count\{model="(\w+)"', text)) == {"lorair", "router", "restorer"}


def commands():
    blocks = re.findall(r"```sh\n(.*?)```", DOCS.read_text(), re.DOTALL)
    lines = [line.split(" #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.split(" ")[0] in APPS]


@pytest.mark.parametrize("line", commands())
def test_command_of_the_runbook_is_one(line):
    assert accepted(shlex.split(line))


def test_runbook_names_files_that_exist():
    named = set(re.findall(r"serving/deploy/[\w./-]*\w", DOCS.read_text()))
    assert DEPLOY.joinpath("compose.yaml").relative_to(ROOT).as_posix() in named
    assert [name for name in named if not (ROOT / name).exists()] == []
