"""Prints what voices express. Standard library only: python3 examples/subscribe.py [URL]"""
import json
import sys
import urllib.request

service = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
request = urllib.request.Request(
    f"{service.rstrip('/')}/v1/events?kinds=emotion", headers={"Accept": "text/event-stream"}
)
with urllib.request.urlopen(request) as stream:
    for line in stream:
        if line.startswith(b"data:"):
            data = json.loads(line[5:]).get("data", {})
            if "top" in data and not data["abstained"]:
                print(data["callId"], data["participantId"], data["top"], data["confidence"], flush=True)
