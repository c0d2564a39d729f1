"""No container engine runs here, so what the files say is tested against the code."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import psycopg
import pytest
import requests
import yaml

from config.tests.settings_reader import documented_names, environment_reads
from deploy.local.lint import plain_environment, production_environment
from deploy.local.services import ROOT, free_port
from deploy.tests.conftest import wait_for

BIN = Path(sys.executable).parent
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()
OWN = {name: service for name, service in COMPOSE["services"].items() if "psephos" in str(service.get("image", ""))}
# Read by the tools themselves, not by our settings.
FOREIGN = {"PROMETHEUS_MULTIPROC_DIR", "DJANGO_SETTINGS_MODULE", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "PATH"}
SETTINGS = {read.name for read in environment_reads()} | set(documented_names()) | FOREIGN


def compose_commands():
    for name, service in OWN.items():
        yield name, service["command"]
        if "healthcheck" in service:
            yield f"{name}'s healthcheck", service["healthcheck"]["test"][1:]


def kubernetes_documents():
    for file in sorted((ROOT / "deploy" / "k8s").glob("*.yaml")):
        for document in yaml.safe_load_all(file.read_text()):
            if document and document.get("kind") != "Kustomization":
                yield file.name, document


def pod_of(document):
    """Return the pod's specification inside a Deployment, StatefulSet or Job."""
    return document["spec"]["template"]["spec"] if "template" in document.get("spec", {}) else None


def kubernetes_commands():
    for _, document in kubernetes_documents():
        for container in (pod_of(document) or {}).get("containers", []):
            if container["image"].startswith("psephos"):
                name = f"{document['kind']} {document['metadata']['name']}"
                yield name, container["command"]
                for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
                    if "exec" in container.get(probe, {}):
                        yield f"{name} {probe}", container[probe]["exec"]["command"]


@pytest.mark.parametrize(
    ("name", "command"),
    [*compose_commands(), *kubernetes_commands()],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_command_is_one_that_the_image_has(name, command):
    program, *arguments = command
    assert (BIN / program).exists(), f"{name}: {program} is not installed by requirements/base.txt"
    if program == "python":
        assert arguments[0] == "manage.py"
        found = [*ROOT.glob(f"*/management/commands/{arguments[1]}.py")]
        assert found or arguments[1] == "migrate", f"{name}: there is no command {arguments[1]}"
    if program == "granian":
        module, _, attribute = next(argument for argument in arguments if ":" in argument).partition(":")
        assert f"{attribute} = " in (ROOT / f"{module.replace('.', '/')}.py").read_text()
    if program == "celery" and "-Q" in arguments:
        from django.conf import settings

        assert set(arguments[arguments.index("-Q") + 1].split(",")) <= set(settings.QUEUES)


@pytest.mark.parametrize("source", ["compose", "kubernetes"])
def test_workers_serve_every_queue_between_them(source):
    from django.conf import settings

    commands = compose_commands() if source == "compose" else kubernetes_commands()
    served = [
        queue for _, command in commands if "-Q" in command for queue in command[command.index("-Q") + 1].split(",")
    ]
    assert sorted(served) == sorted(settings.QUEUES)


def test_every_variable_is_a_setting():
    names = re.findall(r"^ENV (.*(?:\\\n.*)*)", DOCKERFILE, re.MULTILINE)
    in_image = {match for text in names for match in re.findall(r"\b([A-Z][A-Z0-9_]+)=", text)}
    in_compose = {name for service in OWN.values() for name in service.get("environment", {})}
    example = (ROOT / "deploy" / "production.env.example").read_text()
    in_example = set(re.findall(r"^([A-Z][A-Z0-9_]+)=", example, re.MULTILINE))
    build_only = {"PIP_NO_CACHE_DIR", "PIP_DISABLE_PIP_VERSION_CHECK"}
    assert (in_image | in_compose | in_example) - SETTINGS - build_only == set()
    in_kubernetes = set()
    for _, document in kubernetes_documents():
        for container in (pod_of(document) or {}).get("containers", []):
            if container["image"].startswith("psephos"):
                in_kubernetes |= {variable["name"] for variable in container.get("env", [])}
        if document["kind"] == "ConfigMap" and document["metadata"]["name"] == "psephos":
            in_kubernetes |= set(document["data"])
    assert in_kubernetes - SETTINGS == set()


def test_the_example_names_every_secret_that_production_demands():
    example = (ROOT / "deploy" / "production.env.example").read_text()
    for name in production_environment():
        assert re.search(rf"^{name}=", example, re.MULTILINE), name


def test_every_mounted_or_copied_path_exists():
    for name, service in COMPOSE["services"].items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert (ROOT / source).exists(), f"{name}: {source}"
            else:
                assert source in COMPOSE["volumes"]
        for secret in service.get("secrets", []):
            assert secret in COMPOSE["secrets"], f"{name}: {secret}"
    for line in DOCKERFILE.splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists(), line


def test_our_containers_run_without_privileges():
    assert "USER 10001:10001" in DOCKERFILE
    for name, service in OWN.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "/tmp" in service["tmpfs"], name


def test_images_are_pinned_to_exact_versions():
    images = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    images = [image for image in images if image not in {"node", "build"}]
    images += [
        service["image"] for name, service in COMPOSE["services"].items() if name not in OWN and "image" in service
    ]
    for _, document in kubernetes_documents():
        images += [container["image"] for container in (pod_of(document) or {}).get("containers", [])]
    for image in images:
        if not image.startswith("psephos"):
            assert re.search(r":v?\d+\.\d+(\.\d+)?", image), image


def test_nginx_and_prometheus_name_services_and_ports_of_the_stack():
    listened = {}
    for name, service in OWN.items():
        command = service["command"]
        if "--port" in command:
            listened[name] = command[command.index("--port") + 1]
        if port := service.get("environment", {}).get("METRICS_PORT"):
            listened[name] = port
    nginx = (ROOT / "deploy" / "nginx" / "nginx.conf").read_text()
    named = re.findall(r"server (\w[\w-]*):(\d+)", nginx)
    config = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    for job in config["scrape_configs"]:
        for targets in job["static_configs"]:
            named += [tuple(target.split(":")) for target in targets["targets"]]
    assert named
    for name, port in named:
        assert listened.get(name) == port, f"{name}:{port}"
    datasource = (ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text()
    assert "http://prometheus:9090" in datasource
    assert "prometheus" in COMPOSE["services"]


@pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is not installed (Debian: nginx-light)")
def test_nginx_accepts_its_configuration(tmp_path):
    text = (ROOT / "deploy" / "nginx" / "nginx.conf").read_text()
    # Names of services resolve inside the stack's network alone.
    text = text.replace("server web:", "server 127.0.0.1:").replace("server ws:", "server 127.0.0.1:")
    text = text.replace("/tmp/", f"{tmp_path}/").replace("/dev/stderr", str(tmp_path / "error.log"))
    file = tmp_path / "nginx.conf"
    file.write_text(text)
    checked = subprocess.run(["nginx", "-t", "-c", file, "-p", tmp_path], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def compose_client():
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) and not subprocess.run([*command, "version"], capture_output=True).returncode:
            return command
    return None


@pytest.mark.slow
@pytest.mark.skipif(compose_client() is None, reason="there is no compose client (Debian: docker-compose)")
def test_compose_accepts_its_file(tmp_path):
    for name in ("docker-compose.yml", "deploy"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "deploy" / "production.env.example", tmp_path / ".env.production")
    checked = subprocess.run(
        [*compose_client(), "-f", "docker-compose.yml", "config"],
        cwd=tmp_path,
        env=os.environ | {"RABBITMQ_PASSWORD": "x"},
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stderr


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed (Debian: prometheus)")
def test_promtool_accepts_configuration_rules_and_their_tests():
    for arguments in (
        ["check", "config", "--syntax-only", "prometheus.yml"],
        ["check", "rules", "rules.yml", "alerts.yml"],
        ["test", "rules", "tests.yml"],
    ):
        done = subprocess.run(
            ["promtool", *arguments], cwd=ROOT / "deploy" / "prometheus", capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_runbook():
    headings = re.findall(r"^#+ (.+)$", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    groups = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())["groups"]
    for rule in (rule for group in groups for rule in group["rules"]):
        page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert page == "docs/operations.md"
        assert anchor in anchors, rule["alert"]


def test_dashboards_are_provisioned_from_where_they_are_mounted():
    provider = yaml.safe_load((ROOT / "deploy/grafana/provisioning/dashboards/psephos.yml").read_text())
    path = provider["providers"][0]["options"]["path"]
    assert f"./deploy/grafana/dashboards:{path}:ro" in COMPOSE["services"]["grafana"]["volumes"]
    boards = [json.loads(file.read_text()) for file in (ROOT / "deploy" / "grafana" / "dashboards").glob("*.json")]
    assert {board["uid"] for board in boards} == {"psephos-overview", "psephos-chain", "psephos-jobs", "psephos-slo"}
    for board in boards:
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


# Kubernetes


TEXT, COUNT, MAP = {"type": "string", "minLength": 1}, {"type": "integer", "minimum": 0}, {"type": "object"}
NAME = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63}


def closed(required, optional=()):
    """Make a schema of an object that has these members and no other."""
    members = dict(required) | dict(optional)
    return {"type": "object", "properties": members, "required": list(required), "additionalProperties": False}


PROBE = closed(
    {"periodSeconds": COUNT, "timeoutSeconds": COUNT},
    {"exec": closed({"command": {"type": "array", "items": TEXT}}), "httpGet": MAP, "failureThreshold": COUNT},
)
CONTAINER = closed(
    {"name": NAME, "image": TEXT, "resources": closed({"requests": MAP, "limits": MAP}), "securityContext": MAP},
    {
        **{key: {"type": "array", "items": TEXT} for key in ("command", "args")},
        **dict.fromkeys(("livenessProbe", "readinessProbe", "startupProbe"), PROBE),
        **{key: {"type": "array", "items": MAP} for key in ("env", "envFrom", "ports", "volumeMounts")},
        "lifecycle": MAP,
    },
)
POD = closed(
    {
        "containers": {"type": "array", "items": CONTAINER, "minItems": 1},
        "automountServiceAccountToken": {"const": False},
    },
    {
        "securityContext": MAP,
        "terminationGracePeriodSeconds": COUNT,
        "volumes": {"type": "array"},
        "restartPolicy": TEXT,
    },
)
TEMPLATE = closed({"metadata": closed({"labels": MAP}, {"annotations": MAP}), "spec": POD})
SELECTOR = closed({"matchLabels": MAP})
SPECS = {
    ("apps/v1", "Deployment"): closed(
        {"replicas": COUNT, "selector": SELECTOR, "template": TEMPLATE}, {"strategy": closed({"type": TEXT})}
    ),
    ("apps/v1", "StatefulSet"): closed(
        {
            "serviceName": NAME,
            "replicas": COUNT,
            "selector": SELECTOR,
            "template": TEMPLATE,
            "volumeClaimTemplates": {"type": "array", "minItems": 1},
        }
    ),
    ("batch/v1", "Job"): closed({"backoffLimit": COUNT, "ttlSecondsAfterFinished": COUNT, "template": TEMPLATE}),
    ("v1", "Service"): closed(
        {"selector": MAP, "ports": {"type": "array", "minItems": 1}},
        {"clusterIP": TEXT, "publishNotReadyAddresses": {"type": "boolean"}},
    ),
    ("policy/v1", "PodDisruptionBudget"): closed({"minAvailable": COUNT, "selector": SELECTOR}),
    ("autoscaling/v2", "HorizontalPodAutoscaler"): closed(
        {"scaleTargetRef": MAP, "minReplicas": COUNT, "maxReplicas": COUNT, "metrics": {"type": "array", "minItems": 1}}
    ),
    ("networking.k8s.io/v1", "NetworkPolicy"): closed(
        {"podSelector": MAP, "policyTypes": {"type": "array"}}, {"ingress": {"type": "array"}}
    ),
    ("networking.k8s.io/v1", "Ingress"): closed(
        {"ingressClassName": TEXT, "tls": {"type": "array"}, "rules": {"type": "array"}}
    ),
}


@pytest.mark.slow
def test_kubernetes_documents_have_the_shape_of_their_kind():
    kinds = set()
    for file, document in kubernetes_documents():
        kind = (document["apiVersion"], document["kind"])
        kinds.add(kind)
        jsonschema.validate(document["metadata"], closed({"name": NAME}, {"annotations": MAP}))
        if kind == ("v1", "ConfigMap"):
            assert all(isinstance(value, str) for value in document["data"].values()), file
            continue
        try:
            jsonschema.validate(document["spec"], SPECS[kind])
        except jsonschema.ValidationError as error:
            raise AssertionError(
                f"{file}: {document['metadata']['name']}: {error.json_path}: {error.message}"
            ) from None
    assert kinds >= set(SPECS)


def test_kubernetes_names_and_labels_meet():
    documents = [document for _, document in kubernetes_documents()]
    pods = [document for document in documents if pod_of(document)]
    labels = [document["spec"]["template"]["metadata"]["labels"] for document in pods]
    for document in pods:
        if "selector" in document["spec"]:
            selector = document["spec"]["selector"]["matchLabels"]
            assert selector.items() <= document["spec"]["template"]["metadata"]["labels"].items()
        volumes = {volume["name"] for volume in pod_of(document).get("volumes", [])}
        volumes |= {claim["metadata"]["name"] for claim in document["spec"].get("volumeClaimTemplates", [])}
        for container in pod_of(document)["containers"]:
            assert {mount["name"] for mount in container.get("volumeMounts", [])} <= volumes
    deployments = {document["metadata"]["name"] for document in pods}
    for document in documents:
        spec = document.get("spec", {})
        if document["kind"] in {"Service", "PodDisruptionBudget"}:
            selector = spec["selector"].get("matchLabels", spec["selector"])
            assert any(selector.items() <= found.items() for found in labels), document["metadata"]["name"]
        if document["kind"] == "HorizontalPodAutoscaler":
            assert spec["scaleTargetRef"]["name"] in deployments
    for name in ("web", "ws", "worker", "worker-proofs", "indexer", "sequencer", "beat", "migrate"):
        assert name in deployments


def test_kubernetes_containers_run_without_privileges():
    for _, document in kubernetes_documents():
        for container in (pod_of(document) or {}).get("containers", []):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            if container["image"].startswith("psephos"):
                assert context["readOnlyRootFilesystem"] is True
        if pod := pod_of(document):
            assert pod["securityContext"]["runAsNonRoot"] is True


def test_kubernetes_and_compose_start_the_same_commands():
    in_kubernetes = dict(kubernetes_commands())
    for name, command in compose_commands():
        if "healthcheck" not in name:
            found = in_kubernetes.get(f"Deployment {name}") or in_kubernetes[f"Job {name}"]
            assert found == ["4" if part.startswith("${PROOF") else part for part in command], name


def test_no_secret_stands_in_the_files():
    assert not any(document["kind"] == "Secret" for _, document in kubernetes_documents())
    for _, document in kubernetes_documents():
        if document["kind"] == "ConfigMap":
            for name in document["data"]:
                assert not re.search(r"KEY|PASSWORD|TOKEN|PEPPER", name)


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
def test_kustomize_builds_it():
    done = subprocess.run(["kubectl", "kustomize", str(ROOT / "deploy" / "k8s")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(list(yaml.safe_load_all(done.stdout))) > 40


# Every service's very command, as a process


# Several services share a probe; each is run once.
probed: set[tuple[str, ...]] = set()


@pytest.fixture(scope="module")
def production(tmp_path_factory):
    """An environment of production over a database of its own, migrated by the compose file's own command."""
    superuser = os.environ["DATABASE_URL"]
    name = f"containers_{os.getpid()}"
    with psycopg.connect(superuser.replace("/psephos", "/postgres", 1), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} OWNER psephos_owner")
    base = superuser.replace("/psephos", f"/{name}", 1)
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) + 40
    environment = plain_environment() | production_environment()
    environment |= {
        "DATABASE_URL": base.replace("postgres:@", "psephos_app:@", 1),
        "MIGRATION_DATABASE_URL": base.replace("postgres:@", "psephos_owner:@", 1),
        "REDIS_URL": f"{os.environ['PSEPHOS_TEST_REDIS']}/{number}",
        "ALLOWED_HOSTS": "127.0.0.1",
        "CHAIN_CONTRACTS": "psephos@0x5fbdb2315678afecb367f032d93f642f64180aa3@0",
        "CHAIN_RPC_URLS": "http://127.0.0.1:9",
        "STATIC_ROOT": str(tmp_path_factory.mktemp("static")),
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path_factory.mktemp("metrics")),
        "PATH": f"{BIN}:{os.environ['PATH']}",
    }
    run = OWN["migrate"]["command"]
    done = subprocess.run(
        [str(BIN / run[0]), *run[1:]], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=170
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return environment


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.xdist_group("containers")
@pytest.mark.parametrize("name", [name for name in OWN if name != "migrate"])
def test_a_service_s_command_starts_answers_its_probe_and_ends_on_sigterm(name, production, tmp_path):
    service = OWN[name]
    command = [shlex.quote(part) if " " in part else part for part in service["command"]]
    command = ["4" if part.startswith("${PROOF_CONCURRENCY") else part for part in command]
    port = None
    environment = production | {key: str(value) for key, value in service.get("environment", {}).items()}
    if "--port" in command:
        port = command[command.index("--port") + 1] = str(free_port())
    if "METRICS_PORT" in environment:
        environment["METRICS_PORT"] = port = str(free_port())
    if name == "beat":
        command[command.index("-s") + 1] = str(tmp_path / "beat")
    log = (tmp_path / "log").open("w+")
    process = subprocess.Popen(
        [str(BIN / command[0]), *command[1:]],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )

    def said():
        return Path(log.name).read_text()[-3000:]

    def answers():
        assert process.poll() is None, said()
        token = {"Authorization": f"Bearer {environment['METRICS_TOKEN']}", "X-Forwarded-Proto": "https"}
        return requests.get(f"http://127.0.0.1:{port}/metrics", headers=token, timeout=5).status_code == 200

    try:
        wait_for(answers, seconds=100, what=f"{name}: {said()}")
        probe = service["healthcheck"]["test"][1:]
        # There is no node in this test, so the indexer's own probe would rightly fail.
        if name != "indexer" and tuple(probe) not in probed:
            probed.add(tuple(probe))
            done = subprocess.run(
                [str(BIN / probe[0]), *probe[1:]],
                cwd=ROOT,
                env=environment | {"METRICS_PORT": "0"},
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stdout + done.stderr
        if name == "beat":
            # It shows metrics before it has its schedule open; a signal in between is a traceback of shelve's.
            def is_settled():
                files = list(tmp_path.glob("beat*"))
                return files and time.time() - max(file.stat().st_mtime for file in files) > 2

            wait_for(is_settled, what="the schedule")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (0, -signal.SIGTERM, 143), said()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        log.close()
    assert "Traceback" not in said()
