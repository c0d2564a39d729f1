"""Finds every read of the environment in config/settings, for the tests of settings."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Read:
    name: str
    method: str
    is_validated: bool
    subcast: str
    where: str


def environment_reads() -> list[Read]:
    """Return every `env.<method>("NAME", …)` and `os.environ` read under config/settings."""
    reads = []
    for file in sorted((ROOT / "config" / "settings").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
                continue
            first, owner = node.args[0], ast.unparse(node.func.value)
            is_read = owner in {"env", "os.environ"} and node.func.attr != "parser_for"
            if is_read and isinstance(first, ast.Constant) and isinstance(first.value, str):
                keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                where = f"{file.relative_to(ROOT)}:{node.lineno}"
                reads.append(
                    Read(first.value, node.func.attr, "validate" in keywords, keywords.get("subcast", ""), where)
                )
    return reads


def documented_names() -> list[str]:
    """Return the names that .env.example lists, commented out or not."""
    return re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
