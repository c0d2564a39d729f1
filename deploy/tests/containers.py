"""What the compose file and the Kubernetes documents say, read once."""

import re
import sys
from pathlib import Path

import yaml

from config.tests.settings_reader import documented_names, environment_reads
from deploy.local.services import ROOT

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


def example_of(file):
    """Return the names and values in the committed example of one of compose's files of variables."""
    text = (ROOT / "deploy" / f"{file.removeprefix('.env.')}.env.example").read_text()
    return dict(re.findall(r"^([A-Z][A-Z0-9_]+)=(.*)$", text, re.MULTILINE))


def compose_variables():
    """Return the names of the variables that each of our services is given."""
    return {
        name: {variable for file in service["env_file"] for variable in example_of(file)}
        | set(service.get("environment", {}))
        for name, service in OWN.items()
    }


def kubernetes_secrets():
    """Return the keys of each secret, as the table in deploy/k8s/README.md names them."""
    text = (ROOT / "deploy" / "k8s" / "README.md").read_text()
    return {
        name: set(re.findall(r"`([A-Z][A-Z0-9_]+|[a-z-]*password)`", keys))
        for name, keys in re.findall(r"^\| `([\w-]+)` \| (.*) \|$", text, re.M)
    }


def kubernetes_variables():
    """Return the names of the variables that each of our containers is given."""
    documents = [document for _, document in kubernetes_documents()]
    maps = {found["metadata"]["name"]: set(found["data"]) for found in documents if found["kind"] == "ConfigMap"}
    secrets, given = kubernetes_secrets(), {}
    for document in documents:
        for container in (pod_of(document) or {}).get("containers", []):
            if container["image"].startswith("psephos"):
                names = {variable["name"] for variable in container.get("env", [])}
                for source in container["envFrom"]:
                    [(kind, reference)] = source.items()
                    names |= (maps if kind == "configMapRef" else secrets)[reference["name"]]
                given[document["metadata"]["name"]] = names
    return given


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
