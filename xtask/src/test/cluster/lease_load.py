#!/usr/bin/env python3
"""Asks the keeper for the lease of one run so many times a second, as so many workers would: each looks its name up anew, connects, and tries
again while it gets no answer. Runs until told to end (SIGTERM), then says what came of it as JSON."""

import argparse
import collections
import http.client
import json
import random
import signal
import socket
import ssl
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

# A worker's patience, and its pauses.
PATIENCE, PAUSE, LONGEST_PAUSE = 300.0, 0.25, 5.0
DIAL_WITHIN, ANSWER_WITHIN = 5.0, 30.0

arguments = argparse.ArgumentParser()
for name in ("host", "authority", "token", "run", "rate", "threads"):
    arguments.add_argument(f"--{name}", required=True)
given = arguments.parse_args()
tls = ssl.create_default_context(cafile=given.authority)
lock = threading.Lock()
granted, failed, again, answered_by, times = 0, [], collections.Counter(), collections.Counter(), []
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())


def addresses():
    found = {entry[4][0] for entry in socket.getaddrinfo(given.host, 8443, socket.AF_INET, socket.SOCK_STREAM)}
    return random.sample(sorted(found), len(found))


def dial():
    error = None
    for address in addresses():
        try:
            return address, socket.create_connection((address, 8443), DIAL_WITHIN)
        except OSError as refused:
            error = refused
    raise error or OSError("the name leads nowhere")


def ask():
    """One try. Answers with who granted it; raises OSError or HTTPException if there was no answer, ValueError if it is a refusal."""
    address, plain = dial()
    with tls.wrap_socket(plain, server_hostname=given.host) as secured:
        secured.settimeout(ANSWER_WITHIN)
        connection = http.client.HTTPConnection(given.host)
        connection.sock = secured
        with open(given.token) as token:
            headers = {"Authorization": f"Bearer {token.read().strip()}", "Content-Type": "application/json", "Connection": "close"}
        connection.request("POST", f"/v1/runs/{given.run}/lease", json.dumps({"attempt": 1}), headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status >= 500:
            raise OSError(f"it answered {answer.status}")
        if answer.status != 200:
            raise ValueError(f"{answer.status} {body[:200]!r}")
        return address


def lease():
    global granted
    began, pause = time.monotonic(), PAUSE
    while True:
        try:
            address = ask()
        except ValueError as refused:
            with lock:
                failed.append(str(refused))
            return
        except (OSError, http.client.HTTPException) as error:
            with lock:
                again[f"{type(error).__name__}: {error}"] += 1
                if time.monotonic() - began > PATIENCE:
                    failed.append(str(error))
                    return
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
            continue
        with lock:
            granted += 1
            answered_by[address] += 1
            times.append(time.monotonic() - began)
        return


pool = ThreadPoolExecutor(int(given.threads))
began, asked = time.monotonic(), 0
while not stop.is_set():
    pool.submit(lease)
    asked += 1
    wait = began + asked / float(given.rate) - time.monotonic()
    if wait > 0:
        stop.wait(wait)
seconds = time.monotonic() - began
pool.shutdown()
times.sort()
at = lambda share: round(times[int(share * (len(times) - 1))] * 1000) if times else None
json.dump(
    {
        "asked": asked,
        "granted": granted,
        "failed": failed,
        "triedAgain": dict(again),
        "answeredBy": dict(answered_by),
        "seconds": round(seconds, 1),
        "milliseconds": {"median": at(0.5), "p99": at(0.99), "most": at(1)},
    },
    sys.stdout,
)
