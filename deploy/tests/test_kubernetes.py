"""Kubernetes documents: their shape, their names, no privileges, no secrets."""

import re
import shutil
import subprocess

import jsonschema
import pytest
import yaml

from deploy.local.services import ROOT
from deploy.tests.containers import compose_commands, kubernetes_commands, kubernetes_documents, pod_of

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
