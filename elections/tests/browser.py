"""Runs the browser's script and acts when it asks for something to happen outside of the page."""

import json
import subprocess
from collections.abc import Callable, Mapping
from typing import Any

from deploy.local.services import ROOT


def browse(*pages: Mapping[str, Any], **actions: Callable[[], Any]) -> list[dict[str, Any]]:
    """Open pages one after the other in a real Chromium; `actions` are called at the steps `{"do": "outside"}`."""
    script = ROOT / "elections" / "tests" / "browser.mjs"
    command = ["node", str(script), json.dumps({"pages": pages})]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        try:
            for line in process.stdout:
                message = json.loads(line)
                if "results" in message:
                    results: list[dict[str, Any]] = message["results"]
                    return results
                actions[message["waiting"]]()
                process.stdin.write("done\n")
                process.stdin.flush()
            raise AssertionError(f"the browser ended early: {process.stderr.read()[-2000:]}")
        finally:
            process.kill()
