"""Inserts a CSV with simple-salesforce and writes all results to a file: load.py FILE RESULTS. Prints the library's version."""

import importlib.metadata
import os
import sys
import urllib.parse

import requests
from simple_salesforce import Salesforce

file, results = sys.argv[1:]
session = requests.Session()
session.verify = os.environ["ORG_CA"]
session.trust_env = False  # a bundle named in the environment would win over the line above
host = urllib.parse.urlsplit(os.environ["ORG_URL"]).netloc
org = Salesforce(instance=host, session_id=os.environ["ORG_TOKEN"], session=session)
accounts = org.bulk2.Account
# Looks as often as we do: the library's own five seconds would be its loss.
jobs = accounts.insert(file, wait=0.1)
with open(results, "w", newline="") as out:
    for job in jobs:
        if job["numberRecordsFailed"]:
            raise SystemExit(f"{job} has failed rows")
        out.write(accounts.get_successful_records(job["job_id"]))
        out.write(accounts.get_failed_records(job["job_id"]))
print("simple-salesforce", importlib.metadata.version("simple-salesforce"))
