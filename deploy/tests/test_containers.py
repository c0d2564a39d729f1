"""Container files: commands, variables, paths and pins that exist, and that nginx, compose and promtool accept."""

import json
import os
import re
import shutil
import subprocess

import pytest
import yaml

from deploy.local.lint import production_environment, sequencer_environment
from deploy.local.services import ROLES, ROOT
from deploy.tests.containers import (
    BIN,
    COMPOSE,
    DOCKERFILE,
    OWN,
    SETTINGS,
    compose_commands,
    compose_variables,
    example_of,
    kubernetes_commands,
    kubernetes_documents,
    kubernetes_secrets,
    kubernetes_variables,
    pod_of,
)


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
    if program == "celery":
        from django.conf import settings

        assert set(queues_of(command)) <= set(settings.QUEUES)


def queues_of(command):
    return command[command.index("-Q") + 1].split(",") if "-Q" in command else []


@pytest.mark.parametrize("source", ["compose", "kubernetes"])
def test_workers_serve_every_queue_between_them(source):
    from django.conf import settings

    commands = compose_commands() if source == "compose" else kubernetes_commands()
    served = [queue for _, command in commands for queue in queues_of(command)]
    assert sorted(served) == sorted(settings.QUEUES)


def test_every_variable_is_a_setting():
    names = re.findall(r"^ENV (.*(?:\\\n.*)*)", DOCKERFILE, re.MULTILINE)
    in_image = {match for text in names for match in re.findall(r"\b([A-Z][A-Z0-9_]+)=", text)}
    in_compose = {name for service in OWN.values() for name in service.get("environment", {})}
    in_example = set().union(*compose_variables().values())
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


@pytest.mark.parametrize("given", [compose_variables(), kubernetes_variables()], ids=["compose", "kubernetes"])
def test_each_process_has_the_secrets_that_it_demands_and_no_other(given):
    commands = {name: OWN[name]["command"] for name in given}
    senders = {name for name, command in commands.items() if "chain" in queues_of(command)}

    def holders(variable):
        return {name for name, variables in given.items() if variable in variables}

    assert holders("MIGRATION_DATABASE_URL") == {"migrate"}
    assert holders("AUDIT_SIGNING_KEY") == {"sequencer"}
    assert holders("AUDIT_VERIFIER_KEYS") == set(given) - {"sequencer"}
    assert holders("CHAIN_SENDER_KEY") == senders == {"worker"}
    for name, variables in given.items():
        demanded = set(sequencer_environment() if name == "sequencer" else production_environment())
        assert demanded - variables == set(), name
    applications = {name for name in production_environment() if re.search(r"KEY|PEPPER|TOKEN", name)}
    assert given["sequencer"] & applications == set()


def test_each_file_of_variables_is_kept_out_of_git_and_of_the_image():
    ignored, left_out = ((ROOT / name).read_text().split() for name in (".gitignore", ".dockerignore"))
    assert {".env.*", "secrets"} <= set(left_out)
    files = {file for service in OWN.values() for file in service["env_file"]}
    assert files <= set(ignored)
    examples = {f".env.{file.name.removesuffix('.env.example')}" for file in (ROOT / "deploy").glob("*.env.example")}
    assert files == examples
    roles = {
        file: re.match(r"postgresql://(\w+):", url)[1]
        for file in files
        for url in example_of(file).values()
        if "://psephos_" in url
    }
    assert roles == {
        ".env.production": "psephos_app",
        ".env.migration": "psephos_owner",
        ".env.sequencer": "psephos_sequencer",
    }


def test_each_role_is_made_with_a_password_of_its_own():
    script = (ROOT / "deploy" / "postgres" / "roles.sh").read_text()
    assert re.findall(r"^CREATE ROLE (\w+) LOGIN PASSWORD", script, re.MULTILINE) == list(ROLES)
    passwords = set(re.findall(r"/run/secrets/(\w+)", script))
    assert passwords == {f"{role}_password" for role in ROLES}
    assert passwords <= set(COMPOSE["services"]["postgres"]["secrets"])
    [postgres] = [
        found for _, found in kubernetes_documents() if found["metadata"]["name"] == "postgres" and pod_of(found)
    ]
    [mounted] = [volume["secret"] for volume in pod_of(postgres)["volumes"] if "secret" in volume]
    assert {item["path"] for item in mounted["items"]} == passwords
    assert {item["key"] for item in mounted["items"]} <= kubernetes_secrets()[mounted["secretName"]]


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
    for example in (ROOT / "deploy").glob("*.env.example"):
        shutil.copy(example, tmp_path / f".env.{example.name.removesuffix('.env.example')}")
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
