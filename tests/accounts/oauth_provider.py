"""A provider for tests, over a real socket: OpenID Connect with signed ID tokens, and GitHub's way beside it.

It checks what a real one checks: client, redirect URI, PKCE, and that a code is used once. `lies` says in which of its
answers it departs from the protocol.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Self
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT_ID, CLIENT_SECRET = "client-1", "the client's secret"
Json = dict[str, Any]


class OAuthProvider:
    """`provider.user` is who has signed in there; `provider.authorize(url)` is that person saying yes."""

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, parameters={"kid": "one"})
        self.signing_key = self.key
        self.user: Json = {"sub": "1001", "email": "alice@example.com", "email_verified": True}
        self.claims: Json = {}
        self.emails: list[Json] = [{"email": "alice@example.com", "primary": True, "verified": True}]
        self.broken = ""
        self.asked: list[tuple[str, Json]] = []
        self._codes: dict[str, Json] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def settings(self) -> Json:
        common = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        common |= {"authorize_url": f"{self.url}/authorize", "token_url": f"{self.url}/token"}
        google = {
            "title": "Google",
            "issuer": self.url,
            "keys_url": f"{self.url}/keys",
            "scope": "openid email",
        }
        github = {"title": "GitHub", "user_url": f"{self.url}/user", "emails_url": f"{self.url}/user/emails"}
        return {"google": common | google, "github": common | github | {"scope": "user:email"}}

    def authorize(self, url: str) -> str:
        """Where the browser is sent with a code, once the user has agreed."""
        asked = dict(parse_qsl(urlsplit(url).query))
        assert asked["client_id"] == CLIENT_ID
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def _token(self, form: Json) -> tuple[int, Json]:
        asked = self._codes.pop(form.get("code", ""), None)
        if asked is None:
            return 400, {"error": "invalid_grant"}
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        is_right = (
            form.get("client_id") == CLIENT_ID
            and form.get("client_secret") == CLIENT_SECRET
            and form.get("redirect_uri") == asked["redirect_uri"]
            and form.get("grant_type") == "authorization_code"
            and challenge == asked["code_challenge"]
        )
        if not is_right:
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT_ID, "iat": now, "exp": now + 600, **self.user}
        claims |= {"nonce": asked.get("nonce", "")} | self.claims
        id_token = jwt.encode({"alg": "RS256", "kid": "one"}, claims, self.signing_key)
        return 200, {"access_token": "for-the-api", "token_type": "Bearer", "id_token": id_token}

    def _answer(self, path: str, form: Json, headers: Any) -> tuple[int, Any]:
        self.asked.append((path, form))
        if path == self.broken:
            return 500, {"oh": "no"}
        if path == "/token":
            return self._token(form)
        if path == "/keys":
            return 200, {"keys": [self.key.as_dict(private=False)]}
        if headers.get("Authorization") != "Bearer for-the-api":
            return 401, {}
        return 200, {"/user": {"id": self.user["sub"], "login": "alice"}, "/user/emails": self.emails}[path]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._respond({})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                self._respond({name: values[0] for name, values in parse_qs(body).items()})

            def _respond(self, form: Json) -> None:
                status, answer = provider._answer(urlsplit(self.path).path, form, self.headers)
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Nothing on the console."""

        return Handler
