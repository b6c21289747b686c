"""What the Python clients share: where the emulator is, how checks are counted, and its tester's door.

As a program, for run.sh: emulator.py break METHOD PATH ACTION injects a fault that lasts; emulator.py hits tells how
often it struck.
"""

import json
import os
import ssl
import sys
import urllib.request

LINE = json.load(open(os.environ["EMULATOR_LINE"]))
USERNAME, PASSWORD = os.environ["EMULATOR_USERNAME"], os.environ["EMULATOR_PASSWORD"]
TIMES = 1_000_000


class Checks:
    def __init__(self, client):
        self.client, self.passed = client, 0

    def same(self, name, actual, expected):
        if actual != expected:
            raise SystemExit(f"{self.client}: {name}: {str(actual):.500} instead of {str(expected):.500}")
        self.passed += 1

    def refused(self, name, error, call):
        try:
            call()
        except error as refusal:
            self.passed += 1
            return refusal
        raise SystemExit(f"{self.client}: {name}: was not refused")


def ask(path, data=None):
    context = ssl.create_default_context(cafile=os.environ["EMULATOR_CA"])
    with urllib.request.urlopen(f"{LINE['url']}{path}", data, context=context) as answer:
        return answer.read()


def inject(**rule):
    ask("/emulator/faults", json.dumps(rule).encode())


def tear_second_batch():
    """The second batch of the next job runs out of retries: its rows are never tried, the job ends Failed."""
    inject(action="retryBatch", object="Account", retries=20, skip=1)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["break", method, path, action]:
            method = {} if method == "ANY" else {"method": method}
            inject(path=path, times=TIMES, **method, **json.loads(action))
        case ["hits"]:
            print(sum(TIMES - rule["times"] for rule in json.loads(ask("/emulator/faults")) if rule["path"]))
        case _:
            raise SystemExit(__doc__)
