"""What the compose file and the Kubernetes documents say, read once."""

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
