"""Writes docs/schema.graphql and types for Python and TypeScript (`make graphql-types`); `--check` compares."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import django

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SCHEMA = Path("docs/schema.graphql")
PYTHON = Path("docs/graphql/schema_types.py")
TYPESCRIPT = Path("docs/graphql/schema.ts")


def write(folder: Path) -> None:
    """Write the three files under a folder."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
    django.setup()
    from config.graphql.sdl import sdl

    (folder / PYTHON).parent.mkdir(parents=True, exist_ok=True)
    (folder / SCHEMA).write_text(sdl())
    subprocess.run(["node", HERE / "types.mjs", folder / SCHEMA, folder / TYPESCRIPT], check=True, cwd=ROOT)
    options = ["--input-file-type", "graphql", "--output-model-type", "typing.TypedDict", "--formatters", "builtin"]
    options += ["--target-python-version", "3.11", "--disable-timestamp", "--enum-field-as-literal", "all"]
    options += ["--extra-template-data", str(HERE / "scalars.json")]
    tool: list[str | Path] = [sys.executable, "-m", "datamodel_code_generator"]
    tool += ["--input", folder / SCHEMA, "--output", folder / PYTHON]
    subprocess.run([*tool, *options], check=True, cwd=ROOT)


def stale(folder: Path) -> list[str]:
    """Name the committed files that differ from what was written under a folder."""
    return [
        str(file) for file in (SCHEMA, PYTHON, TYPESCRIPT) if (ROOT / file).read_text() != (folder / file).read_text()
    ]


def main() -> None:
    if sys.argv[1:] != ["--check"]:
        write(ROOT)
        return
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        if files := stale(Path(folder)):
            sys.exit(f"{', '.join(files)}: not what the schema gives; run `make graphql-types`")


if __name__ == "__main__":
    main()
