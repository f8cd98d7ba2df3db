"""A small Hugging Face hub on loopback, in a process of its own: makes repositories and takes commits of small files.

python -m tests.hub_server      prints its port, then one JSON line for every request that changes something
"""

from __future__ import annotations

import base64
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "1" * 40


class Handler(BaseHTTPRequestHandler):
    """Answers as the hub does to `create_repo` and `upload_folder`; a commit is told with its files' sizes."""

    def do_GET(self) -> None:
        self._say({"id": "me/thing", "sha": "0" * 40, "siblings": [], "private": True})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.endswith("/preupload/main"):
            asked = json.loads(body)["files"]
            files = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in asked]
            self._say({"files": files, "commitOid": "0" * 40})
        elif "/commit/" in self.path:
            lines = [json.loads(line) for line in body.splitlines()]
            sent = {f["path"]: len(base64.b64decode(f["content"])) for f in (x["value"] for x in lines[1:])}
            self._tell({"commit": self.path, "files": sent})
            address = f"http://{self.headers['Host']}/me/thing/commit/{COMMIT}"
            self._say({"commitUrl": address, "commitOid": COMMIT, "hookOutput": ""})
        elif self.path.endswith("/repos/create"):
            self._tell({"create": json.loads(body), "token": self.headers["Authorization"]})
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            self._say({"url": f"http://{self.headers['Host']}/{name}", "name": name, "id": "1"})
        else:
            self._say({"errors": [], "warnings": []})

    def _tell(self, value: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(value) + "\n")
        sys.stdout.flush()

    def _say(self, value: dict[str, Any]) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: standard error stays that of the test."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
