"""Reads the imported Accounts back with simple-salesforce and compares them with the file, row by row as a digest.

usage: ACCESS_TOKEN=… independent_client.py airports.csv ca.crt port
"""

import csv
import hashlib
import os
import sys

import requests
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce

HOST = "salesforce-emulator.demo.svc"


class Forwarded(HTTPAdapter):
    """Connects to the forwarded port and still verifies the server by its own name."""

    def send(self, request, **kwargs):
        request.headers["Host"] = f"{HOST}:8443"
        request.url = request.url.replace(HOST + ":8443", f"127.0.0.1:{PORT}").replace(f"https://{HOST}/", f"https://127.0.0.1:{PORT}/")
        return super().send(request, **kwargs)

    def init_poolmanager(self, *args, **kwargs):
        super().init_poolmanager(*args, **kwargs, server_hostname=HOST, assert_hostname=HOST)


def digest(rows):
    return hashlib.sha256("\n".join(sorted("\x1f".join(row) for row in rows)).encode()).hexdigest()


def expected(path):
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["country"] != "AQ" and row["icao"] and not row["icao"].startswith("#"):
                yield row["icao"], row["name"], row["city"][:40], row["country"], f'{row["lat"]}, {row["lon"]}'


def found(client):
    fields = ("icao__c", "Name", "BillingCity", "BillingCountry", "Description")
    for record in client.query_all_iter(f"SELECT {', '.join(fields)} FROM Account WHERE icao__c != null"):
        yield tuple(record[field] or "" for field in fields)


path, authority, PORT = sys.argv[1:]
session = requests.Session()
session.trust_env = False
session.verify = authority
session.mount("https://", Forwarded())
client = Salesforce(instance_url=f"https://{HOST}:8443", session_id=os.environ["ACCESS_TOKEN"], session=session, version="66.0")
want, have = list(expected(path)), list(found(client))
print(f"simple-salesforce: {len(have)} accounts, sha256 {digest(have)}; file: {len(want)} rows, sha256 {digest(want)}")
sys.exit(0 if digest(want) == digest(have) else 1)
