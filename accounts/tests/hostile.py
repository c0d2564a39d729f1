"""A provider that lies on demand, modelled on the OpenID Foundation's tests of relying parties (oidcc-client-*)."""

import hashlib
import json
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

CLIENT_ID, CLIENT_SECRET = "psephos", "a secret: with % and :"
RSA_KEYS = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2)]
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()


def jwk_of(key: Any, kid: str | None, **members: Any) -> dict[str, Any]:
    algorithm = {rsa.RSAPrivateKey: RSAAlgorithm, ec.EllipticCurvePrivateKey: ECAlgorithm}
    to_jwk = next((value.to_jwk for kind, value in algorithm.items() if isinstance(key, kind)), OKPAlgorithm.to_jwk)
    jwk = json.loads(to_jwk(key.public_key()))
    return {**jwk, **({"kid": kid} if kid else {}), **members}


def half_hash(text: str, digest: Callable[[bytes], Any] = hashlib.sha256) -> str:
    whole = digest(text.encode()).digest()
    return urlsafe_b64encode(whole[: len(whole) // 2]).rstrip(b"=").decode()


class HostileProvider:
    """Correct by default; a test changes what it says. `calls` counts requests by path."""

    def __init__(self) -> None:
        self.calls: dict[str, int] = {}
        self.metadata: dict[str, Any] = {}
        self.jwks: Any = {"keys": [jwk_of(RSA_KEYS[0], "first")]}
        self.signing: dict[str, Any] = {"key": RSA_KEYS[0], "algorithm": "RS256", "headers": {"kid": "first"}}
        self.claims: dict[str, Any] = {}
        self.token_answer: dict[str, Any] = {}
        self.userinfo: dict[str, Any] = {"sub": "subject-1"}
        self.raw_id_token: Any = None
        self.raw: dict[str, tuple[int, str, bytes]] = {}
        self.slow: dict[str, float] = {}
        self.dripping: set[str] = set()
        self.nonce = ""
        self.form: dict[str, str] = {}
        self.access_token = "an-access-token"

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "name": "hostile",
            "issuer": self.issuer,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "scope": "openid email",
        }

    def id_token(self) -> Any:
        if self.raw_id_token is not None:
            return self.raw_id_token
        now = int(time.time())
        claims = {
            "iss": self.issuer, "aud": CLIENT_ID, "sub": "subject-1", "iat": now, "exp": now + 300,
            "nonce": self.nonce, "at_hash": half_hash(self.access_token), **self.claims,
        }  # fmt: skip
        return self.sign({name: value for name, value in claims.items() if value is not None})

    def sign(self, claims: dict[str, Any], **headers: Any) -> str:
        return jwt.encode(
            claims, self.signing["key"], self.signing["algorithm"], headers={**self.signing["headers"], **headers}
        )

    def answer(self, path: str) -> tuple[int, str, bytes]:
        if path in self.raw:
            return self.raw[path]
        body: Any
        if path == "/.well-known/openid-configuration":
            names = {"authorization_endpoint": "auth", "token_endpoint": "token", "jwks_uri": "jwks"}
            names |= {"userinfo_endpoint": "me", "revocation_endpoint": "revoke"}
            body = {"issuer": self.issuer, **{name: f"{self.issuer}/{end}" for name, end in names.items()}}
            body |= self.metadata
        elif path == "/jwks":
            body = self.jwks
        elif path == "/token":
            body = {
                "access_token": self.access_token, "token_type": "Bearer", "expires_in": 3600,
                "refresh_token": f"refresh-{time.monotonic_ns()}", "id_token": self.id_token(), **self.token_answer,
            }  # fmt: skip
            body = {name: value for name, value in body.items() if value is not None}
        elif path == "/me":
            body = self.userinfo
        else:
            body = {}
        return 200, "application/json", json.dumps(body).encode()

    @contextmanager
    def running(self) -> Iterator["HostileProvider"]:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def respond(self) -> None:
                path = self.path.partition("?")[0]
                provider.calls[path] = provider.calls.get(path, 0) + 1
                length = int(self.headers.get("Content-Length") or 0)
                if length:
                    form = parse_qs(self.rfile.read(length).decode())
                    provider.form = {name: values[0] for name, values in form.items()}
                    provider.form["authorization"] = self.headers.get("Authorization", "")
                time.sleep(provider.slow.get(path, 0))
                status, content_type, body = provider.answer(path)
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                try:
                    if path in provider.dripping:
                        for byte in body:
                            self.wfile.write(bytes([byte]))
                            time.sleep(0.1)
                    else:
                        self.wfile.write(body)
                except OSError:
                    self.close_connection = True

            do_GET = do_POST = respond

            def log_message(self, *args: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self.issuer = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
