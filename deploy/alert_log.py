"""A receiver of alerts that prints each on a line: what Alertmanager sends, before you have one of your own.

python -m deploy.alert_log 9099 /run/secrets/golive/alert_webhook_token
"""

import hmac
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Receiver(BaseHTTPRequestHandler):
    """Takes Alertmanager's webhooks from whoever shows the token."""

    token = ""  # none # nosec B105

    def do_POST(self) -> None:
        """Print the alerts of a notification."""
        shown = self.headers.get("Authorization", "")
        if not hmac.compare_digest(shown, f"Bearer {self.token}"):
            self.send_error(401)
            return
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        for alert in told["alerts"]:
            line = {
                "at": time.time(),
                "receiver": told["receiver"],
                "status": alert["status"],
                "labels": alert["labels"],
                "summary": alert["annotations"].get("summary"),
                "runbook_url": alert["annotations"].get("runbook_url"),
            }
            print(json.dumps(line), flush=True)
        self.send_response(200)
        self.end_headers()

    def do_GET(self) -> None:
        """Say that it is there."""
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing of each request."""


if __name__ == "__main__":
    Receiver.token = Path(sys.argv[2]).read_text().strip()
    ThreadingHTTPServer(("", int(sys.argv[1])), Receiver).serve_forever()
