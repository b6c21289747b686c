"""simple-salesforce against the emulator, one section a run: simple_salesforce_client.py SECTION. Every section meets an
empty organisation."""

import csv
import io
import os
import sys
import tempfile
import urllib.parse

import requests
from emulator import LINE, PASSWORD, USERNAME, Checks, tear_second_batch
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce, SalesforceLogin
from simple_salesforce.exceptions import SalesforceAuthenticationFailed, SalesforceMalformedRequest, SalesforceResourceNotFound

host = urllib.parse.urlsplit(LINE["url"]).netloc


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
checks = Checks("simple-salesforce")
check, refused = checks.same, checks.refused


def connect():
    return Salesforce(username=USERNAME, password=PASSWORD, security_token="", session=session)


def login():
    """SOAP, username-password, JWT bearer, client credentials."""
    check("soap", SalesforceLogin(username=USERNAME, password=PASSWORD, security_token="", session=session)[1], host)
    refused(
        "wrong password", SalesforceAuthenticationFailed,
        lambda: SalesforceLogin(username=USERNAME, password="wrong", security_token="", session=session),
    )
    key, secret = LINE["clientId"], LINE["clientSecret"]
    for name, grant in {
        "username-password": {"username": USERNAME, "password": PASSWORD, "consumer_key": key, "consumer_secret": secret},
        "jwt": {"username": USERNAME, "consumer_key": key, "privatekey_file": os.environ["EMULATOR_JWT_KEY"]},
        "client credentials": {"consumer_key": key, "consumer_secret": secret, "domain": "emulator.my"},
    }.items():
        token, _ = SalesforceLogin(session=session, **grant)
        answered = Salesforce(session_id=token, instance=host, session=session).query("SELECT Username FROM User")
        check(name, USERNAME in [row["Username"] for row in answered["records"]], True)


def describe():
    sf = connect()
    found = sf.describe()
    check("describe global", (found["maxBatchSize"], "Account" in [row["name"] for row in found["sobjects"]]), (200, True))
    field = next(field for field in sf.Account.describe()["fields"] if field["name"] == "icao__c")
    check("field", (field["externalId"], field["type"], field["length"], field["createable"]), (True, "string", 4, True))


def paging():
    sf = connect()
    load(sf, "insert", "Name\n" + "".join(f"Airport {n}\n" for n in range(4100)))
    names = [row["Name"] for row in sf.query_all_iter("SELECT Id, Name FROM Account")]
    check("every row once", sorted(names), sorted(f"Airport {n}" for n in range(4100)))
    first = sf.query("SELECT Id FROM Account ORDER BY Name LIMIT 2300")
    check("first page", (first["done"], len(first["records"]), first["totalSize"]), (False, 2000, 2300))
    second = sf.query_more(first["nextRecordsUrl"], identifier_is_url=True)
    check("second page", (second["done"], len(second["records"])), (True, 300))
    check("pages do not overlap", len({row["Id"] for row in first["records"] + second["records"]}), 2300)
    check("count", sf.query("SELECT COUNT() FROM Account")["totalSize"], 4100)
    error = refused("bad query", SalesforceMalformedRequest, lambda: sf.query("SELECT Nope FROM Account"))
    check("bad query code", error.content[0]["errorCode"], "INVALID_FIELD")
    check("limits", sf.limits()["DailyApiRequests"]["Max"], 5_000_000)
    check("usage", sf.api_usage["api-usage"].total, 5_000_000)


def row():
    sf = connect()
    created = sf.Account.create({"Name": "Frankfurt", "icao__c": "EDDF", "Elevation__c": 364})
    account = created["id"]
    check("create", (created["success"], len(account)), (True, 18))
    check("update", sf.Account.update(account, {"Phone": "069"}), 204)
    read = sf.Account.get(account)
    check("read", (read["Name"], read["icao__c"], read["Phone"]), ("Frankfurt", "EDDF", "069"))
    check("read by key", sf.Account.get_by_custom_id("icao__c", "EDDF")["Id"], account)
    check("upsert of a known key", sf.Account.upsert("icao__c/EDDF", {"Name": "Frankfurt Main"}), 200)
    check("upsert of a new key", sf.Account.upsert("icao__c/YSSY", {"Name": "Sydney"}), 201)
    names = [row["Name"] for row in sf.query("SELECT Name FROM Account ORDER BY Name")["records"]]
    check("upserted", names, ["Frankfurt Main", "Sydney"])
    refused("missing row", SalesforceResourceNotFound, lambda: sf.Account.get("0015e0000000zzz"))
    error = refused("missing field", SalesforceMalformedRequest, lambda: sf.Account.create({"Phone": "1"}))
    check("missing field code", error.content[0]["errorCode"], "REQUIRED_FIELD_MISSING")
    contact = sf.Contact.create({"LastName": "Doe", "Account": {"icao__c": "EDDF"}})["id"]
    check("parent", sf.query("SELECT Account.Name FROM Contact")["records"][0]["Account"]["Name"], "Frankfurt Main")
    check("delete", sf.Contact.delete(contact), 204)
    refused("read deleted", SalesforceResourceNotFound, lambda: sf.Contact.get(contact))
    gone = sf.query_all("SELECT Id FROM Contact WHERE IsDeleted = true", include_deleted=True)
    check("deleted rows", [row["Id"] for row in gone["records"]], [contact])


def collections():
    """The library has no call of its own for them: its REST door."""
    sf = connect()

    def send(method, records=None, path="composite/sobjects", **options):
        body = {"allOrNone": False, **options, "records": [{"attributes": {"type": "Account"}, **row} for row in records]} if records else None
        return sf.restful(path, method=method, json=body)

    answers = send("POST", [{"Name": "A"}, {"Phone": "1"}, {"Name": "B"}])
    check("create", [answer["success"] for answer in answers], [True, False, True])
    check("create says why", answers[1]["errors"][0]["statusCode"], "REQUIRED_FIELD_MISSING")
    a, b = answers[0]["id"], answers[2]["id"]
    read = sf.restful("composite/sobjects/Account", params={"ids": f"{a},{b}", "fields": "Name"})
    check("read", [row["Name"] for row in read], ["A", "B"])
    answers = send("PATCH", [{"id": a, "Name": "A2"}, {"id": "0015e0000000zzz", "Name": "nobody"}])
    check("update", [answer["success"] for answer in answers], [True, False])
    answers = send("PATCH", [{"id": a, "Name": "A3"}, {"id": b, "Elevation__c": 40000}], allOrNone=True)
    check("all or none", [answer["success"] for answer in answers], [False, False])
    check("nothing was done", sf.Account.get(a)["Name"], "A2")
    answers = send("PATCH", [{"icao__c": "EDDF", "Name": "F"}, {"icao__c": "EDDM", "Name": "M"}], "composite/sobjects/Account/icao__c")
    check("upsert", [answer["created"] for answer in answers], [True, True])
    answers = sf.restful(f"composite/sobjects?ids={a},{b}", method="DELETE")
    check("delete", [answer["success"] for answer in answers], [True, True])
    check("left", sf.query("SELECT COUNT() FROM Account")["totalSize"], 2)


def load(sf, operation, text, **options):
    """Runs one bulk operation from a file, as the library's users do."""
    with tempfile.NamedTemporaryFile("w", suffix=".csv", newline="") as file:
        file.write(text)
        file.flush()
        return getattr(sf.bulk2.Account, operation)(file.name, **options)


def results(sf, job):
    return [
        list(csv.DictReader(io.StringIO(getattr(sf.bulk2.Account, f"get_{name}_records")(job))))
        for name in ("successful", "failed", "unprocessed")
    ]


def failed_job(sf, operation, text, **options):
    """Runs an operation whose job ends Failed: the library raises and does not say which job it was."""
    before = {job["id"] for job in sf.restful("jobs/ingest")["records"]}
    raised = refused(f"{operation} ends failed", Exception, lambda: load(sf, operation, text, **options))
    [job] = [job for job in sf.restful("jobs/ingest")["records"] if job["id"] not in before]
    check(f"{operation} state", job["state"], "Failed")
    return job["id"], str(raised)


def torn(sf, operation, text, **options):
    """Rows written, rows refused and rows never tried in one job."""
    tear_second_batch()
    job, raised = failed_job(sf, operation, text, **options)
    check(f"{operation} says why", "Too many lock failures" in raised, True)
    sets = results(sf, job)
    check(f"{operation} counts", [len(rows) for rows in sets], [9999, 1, 1])
    return sets


def bulk():
    sf = connect()
    rows = "".join(f"{'' if n == 5 else f'Airport {n}'},K{n}\n" for n in range(10_001))
    successful, [failed], unprocessed = torn(sf, "insert", f"Name,External_Id__c\n{rows}")
    check("insert failed", (failed["sf__Id"], failed["External_Id__c"]), ("", "K5"))
    check("insert error", failed["sf__Error"], "REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --")
    check("insert unprocessed", unprocessed, [{"Name": "Airport 10000", "External_Id__c": "K10000"}])
    check("insert created", {row["sf__Created"] for row in successful}, {"true"})
    ids = {row["External_Id__c"]: row["sf__Id"] for row in successful}

    rows = "".join(f"Renamed {n},K{n},{40_000 if n == 7 else 10}\n" for n in range(10_001))
    successful, [failed], unprocessed = torn(
        sf, "upsert", f"Name,External_Id__c,Elevation__c\n{rows}", external_id_field="External_Id__c"
    )
    check("upsert failed", (failed["External_Id__c"], failed["sf__Error"].split(":")[0]), ("K7", "FIELD_CUSTOM_VALIDATION_EXCEPTION"))
    check("upsert unprocessed", [row["External_Id__c"] for row in unprocessed], ["K10000"])
    created = {row["External_Id__c"]: row["sf__Id"] for row in successful if row["sf__Created"] == "true"}
    check("upsert created", list(created), ["K5"])
    ids |= created

    known = [ids[f"K{n}"] for n in range(9999)] + ["0015e0000000zzz", ids["K9999"]]
    successful, [failed], unprocessed = torn(sf, "update", "Id,Phone\n" + "".join(f"{id},123\n" for id in known))
    check("update failed", (failed["sf__Id"], failed["sf__Error"].split(":")[0]), ("0015e0000000zzz", "INVALID_CROSS_REFERENCE_KEY"))
    check("update unprocessed", unprocessed, [{"Id": ids["K9999"], "Phone": "123"}])
    check("update created", {row["sf__Created"] for row in successful}, {"false"})
    check("updated", (sf.Account.get(ids["K2"])["Phone"], sf.Account.get(ids["K9999"])["Phone"]), ("123", None))

    successful, [failed], unprocessed = torn(sf, "delete", "Id\n" + "".join(f"{id}\n" for id in known))
    check("delete failed", failed["sf__Id"], "0015e0000000zzz")
    check("delete unprocessed", unprocessed, [{"Id": ids["K9999"]}])
    check("deleted", {row["sf__Id"] for row in successful}, set(known[:9999]))
    check("left", [row["External_Id__c"] for row in sf.query("SELECT External_Id__c FROM Account")["records"]], ["K9999"])

    # One that completes, one that is refused as a whole.
    [job] = load(sf, "insert", "Name,icao__c\nA,\nToo long,EDDFX\n")
    check("complete", (job["numberRecordsTotal"], job["numberRecordsFailed"]), (2, 1))
    successful, [failed], unprocessed = results(sf, job["job_id"])
    check("complete error", failed["sf__Error"], "STRING_TOO_LONG:ICAO: data value too large: EDDFX (max length=4):icao__c --")
    check("complete rows", ([row["Name"] for row in successful], unprocessed), (["A"], []))
    job, raised = failed_job(sf, "insert", "Name,Nope__c\nA,B\n")
    check("unknown column", "Field name not found : Nope__c" in raised, True)
    check("unknown column unprocessed", results(sf, job), [[], [], [{"Name": "A", "Nope__c": "B"}]])


def bulk_query():
    sf = connect()
    load(sf, "insert", "Name,External_Id__c\n" + "".join(f'"Airport ""{n}"",\nGate",K{n}\n' for n in range(2500)))
    soql = "SELECT Name, External_Id__c FROM Account WHERE External_Id__c LIKE 'K%'"
    pages = list(sf.bulk2.Account.query(soql, max_records=1000))
    check("pages", len(pages), 3)
    found = {row["External_Id__c"]: row["Name"] for page in pages for row in csv.DictReader(io.StringIO(page, newline=""))}
    check("every row", found, {f"K{n}": f'Airport "{n}",\nGate' for n in range(2500)})


section = sys.argv[1]
{"login": login, "describe": describe, "paging": paging, "row": row, "collections": collections, "bulk": bulk, "bulk-query": bulk_query}[section]()
print(f"simple-salesforce {section}: {checks.passed} checks passed")
