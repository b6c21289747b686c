"""simple-salesforce against the emulator: logins, describe, query with paging, rows, Collections, Bulk 2.0."""

import csv
import io
import json
import os
import tempfile
import urllib.parse

import requests
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce, SalesforceLogin
from simple_salesforce.exceptions import SalesforceAuthenticationFailed, SalesforceMalformedRequest, SalesforceResourceNotFound

line = json.load(open(os.environ["EMULATOR_LINE"]))
host = urllib.parse.urlsplit(line["url"]).netloc
username, password = os.environ["EMULATOR_USERNAME"], os.environ["EMULATOR_PASSWORD"]


class ToEmulator(HTTPAdapter):
    """The library knows only hosts below salesforce.com; the wire goes to the emulator all the same."""

    def send(self, request, **kwargs):
        parts = urllib.parse.urlsplit(request.url)
        request.url = urllib.parse.urlunsplit(parts._replace(netloc=host))
        return super().send(request, **kwargs)


session = requests.Session()
session.verify = os.environ["EMULATOR_CA"]
session.trust_env = False  # a bundle named in the environment would win over the line above
session.mount("https://", ToEmulator())

checks = 0


def check(name, actual, expected):
    global checks
    checks += 1
    if actual != expected:
        raise SystemExit(f"simple-salesforce: {name}: {actual!r} instead of {expected!r}")


def refused(name, error, call):
    global checks
    checks += 1
    try:
        call()
    except error as refusal:
        return refusal
    raise SystemExit(f"simple-salesforce: {name}: was not refused")


# Logins: SOAP, username-password, client credentials, JWT bearer.
soap = SalesforceLogin(username=username, password=password, security_token="", session=session)
check("soap login host", soap[1], host)
refused(
    "wrong password", SalesforceAuthenticationFailed,
    lambda: SalesforceLogin(username=username, password="wrong", security_token="", session=session),
)
SalesforceLogin(
    username=username, password=password, consumer_key=line["clientId"], consumer_secret=line["clientSecret"], session=session
)
SalesforceLogin(
    consumer_key=line["clientId"], username=username, privatekey_file=os.environ["EMULATOR_JWT_KEY"], session=session
)
SalesforceLogin(
    consumer_key=line["clientId"], consumer_secret=line["clientSecret"], domain="emulator.my", session=session
)
sf = Salesforce(username=username, password=password, security_token="", session=session)

# Describe.
check("describe global", sf.describe()["maxBatchSize"], 200)
fields = {field["name"]: field for field in sf.Account.describe()["fields"]}
check("external id", (fields["icao__c"]["externalId"], fields["icao__c"]["length"]), (True, 4))

# One row.
created = sf.Account.create({"Name": "Frankfurt", "icao__c": "EDDF", "Elevation__c": 364})
account = created["id"]
check("create", (created["success"], len(account)), (True, 18))
check("update", sf.Account.update(account, {"Phone": "069"}), 204)
check("read", sf.Account.get(account)["Phone"], "069")
check("read by key", sf.Account.get_by_custom_id("icao__c", "EDDF")["Id"], account)
check("upsert", sf.Account.upsert("icao__c/EDDF", {"Name": "Frankfurt Main"}), 200)
refused("missing row", SalesforceResourceNotFound, lambda: sf.Account.get("0015e0000000zzz"))
error = refused("missing field", SalesforceMalformedRequest, lambda: sf.Account.create({"Phone": "1"}))
check("missing field code", error.content[0]["errorCode"], "REQUIRED_FIELD_MISSING")
contact = sf.Contact.create({"LastName": "Doe", "Account": {"icao__c": "EDDF"}})["id"]
check("parent", sf.query("SELECT Account.Name FROM Contact")["records"][0]["Account"]["Name"], "Frankfurt Main")
check("delete", sf.Contact.delete(contact), 204)

# Bulk 2.0.


def load(operation, text, **options):
    """Runs one bulk operation from a file, as the library's users do."""
    with tempfile.NamedTemporaryFile("w", suffix=".csv", newline="") as file:
        file.write(text)
        file.flush()
        return getattr(sf.bulk2.Account, operation)(file.name, **options)


def results(job):
    return {
        name: list(csv.DictReader(io.StringIO(getattr(sf.bulk2.Account, f"get_{name}_records")(job))))
        for name in ("successful", "failed", "unprocessed")
    }


rows = "Name,icao__c,External_Id__c\n" + "".join(f"Airport {n},,K{n}\n" for n in range(2500)) + ",,NONAME\nToo long,EDDFX,LONG\n"
jobs = load("insert", rows)
check("insert", [(job["numberRecordsTotal"], job["numberRecordsFailed"]) for job in jobs], [(2502, 2)])
sets = results(jobs[0]["job_id"])
check("insert results", {name: len(rows) for name, rows in sets.items()}, {"successful": 2500, "failed": 2, "unprocessed": 0})
check("insert created", {row["sf__Created"] for row in sets["successful"]}, {"true"})
check(
    "insert errors", sorted(row["sf__Error"] for row in sets["failed"]),
    [
        "REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --",
        "STRING_TOO_LONG:ICAO: data value too large: EDDFX (max length=4):icao__c --",
    ],
)
ids = {row["External_Id__c"]: row["sf__Id"] for row in sets["successful"]}

jobs = load("upsert", "Name,External_Id__c\nRenamed,K1\nNew,KNEW\n", external_id_field="External_Id__c")
check("upsert created", sorted(row["sf__Created"] for row in results(jobs[0]["job_id"])["successful"]), ["false", "true"])
jobs = load("update", f"Id,Phone\n{ids['K2']},123\n")
check("update created", [row["sf__Created"] for row in results(jobs[0]["job_id"])["successful"]], ["false"])
check("updated", sf.Account.get(ids["K2"])["Phone"], "123")
jobs = load("delete", f"Id\n{ids['K3']}\n{ids['K3']}\n")
check("delete twice", (jobs[0]["numberRecordsTotal"], jobs[0]["numberRecordsFailed"]), (2, 1))
exported = "".join(sf.bulk2.Account.query("SELECT Id, Name, External_Id__c FROM Account WHERE External_Id__c LIKE 'K%'", max_records=1000))
names = [row["Name"] for row in csv.DictReader(io.StringIO(exported)) if row["Name"] != "Name"]
check("bulk query", (len(names), "Renamed" in names), (2500, True))

# A job that fails as a whole leaves every row unprocessed; the library raises on the state.
raised = refused("unknown column", Exception, lambda: load("insert", "Name,Nope__c\nA,B\n"))
spoiled = [job["id"] for job in sf.restful("jobs/ingest")["records"] if job["state"] == "Failed"]
left = list(csv.DictReader(io.StringIO(sf.bulk2.Account.get_unprocessed_records(spoiled[0]))))
check("unprocessed", [row["Name"] for row in left], ["A"])
check("unknown column text", "Field name not found : Nope__c" in str(raised), True)

# Query with paging.
check("count", sf.query("SELECT COUNT() FROM Account")["totalSize"], 2501)
check("all pages", len(list(sf.query_all_iter("SELECT Id FROM Account"))), 2501)
first = sf.query("SELECT Id FROM Account ORDER BY Name LIMIT 2300")
check("first page", (first["done"], len(first["records"])), (False, 2000))
check("second page", len(sf.query_more(first["nextRecordsUrl"], identifier_is_url=True)["records"]), 300)
check("deleted rows", sf.query_all("SELECT Id FROM Account WHERE IsDeleted = true", include_deleted=True)["totalSize"], 1)
error = refused("bad query", SalesforceMalformedRequest, lambda: sf.query("SELECT Nope FROM Account"))
check("bad query code", error.content[0]["errorCode"], "INVALID_FIELD")

# Collections, over the library's own REST door.
body = {"allOrNone": False, "records": [{"attributes": {"type": "Account"}, "Name": f"C{n}" if n else None} for n in range(3)]}
answers = sf.restful("composite/sobjects", method="POST", json=body)
check("collections", [answer["success"] for answer in answers], [False, True, True])
check("collections error", answers[0]["errors"][0]["statusCode"], "REQUIRED_FIELD_MISSING")
check("limits", sf.limits()["DailyApiRequests"]["Max"], 5_000_000)
check("usage", sf.api_usage["api-usage"].total, 5_000_000)
print(f"simple-salesforce: {checks} checks passed")
