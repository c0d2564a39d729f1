"""Settings of `zk`."""

from pathlib import Path
from typing import Any

from config.settings.env import env

_ROOT = Path(__file__).resolve().parent.parent.parent.parent

# Keys that one machine made from a public seed: whoever knows the seed can prove anything. local.py and test.py
# allow them; production does not.
ZK_ALLOW_DEVELOPMENT_KEYS = False
# A folder with a manifest.json and keys from a real ceremony, beside the committed ones.
ZK_EXTRA_ARTIFACTS: str = env.str("ZK_EXTRA_ARTIFACTS", "")
# Where packed keys are unpacked; filled when the image is built, so that it may be read-only afterwards.
ZK_WORK_DIR: str = env.str("ZK_WORK_DIR", str(_ROOT / ".local" / "zk"))
ZK_NODE_MODULES: str = env.str("ZK_NODE_MODULES", str(_ROOT / "node_modules"))
ZK_PROVER: str = env.str("ZK_PROVER", "native")
# Each worker of the queue `proofs` loads these circuits' keys when it starts.
ZK_PRELOAD: list[str] = env.list("ZK_PRELOAD", [])
ZK_PROOFS_PER_DAY: int = env.int("ZK_PROOFS_PER_DAY", 200)
ZK_CACHE_SECONDS: int = env.int("ZK_CACHE_SECONDS", 24 * 3600)
ZK_PROOF_TIMEOUT_SECONDS: int = env.int("ZK_PROOF_TIMEOUT_SECONDS", 120)

ZK_BEAT: dict[str, dict[str, Any]] = {}
