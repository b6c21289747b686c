"""The sf command line against the emulator, one section a run: sf_client.py SECTION. Every section meets an empty
organisation."""

import csv
import json
import os
import pathlib
import re
import subprocess
import sys
import urllib.parse

from emulator import LINE, USERNAME, Checks, ask, tear_second_batch

home = pathlib.Path(os.environ["WORK"])
environment = {
    "HOME": str(home), "PATH": os.environ["PATH"], "NODE_EXTRA_CA_CERTS": os.environ["EMULATOR_CA"],
    "SF_DISABLE_TELEMETRY": "true", "SF_SKIP_NEW_VERSION_CHECK": "true", "SF_AUTOUPDATE_DISABLE": "true",
    "SF_USE_GENERIC_UNIX_KEYCHAIN": "true", "SF_DISABLE_LOG_FILE": "true", "NO_COLOR": "1", "CI": "true",
}
checks = Checks("sf")
check = checks.same


def sf(*words, expect=0, **extra):
    """Runs one command and returns what it says in JSON."""
    command = [os.environ["NODE"], os.environ["SF"], *words, "--json"]
    done = subprocess.run(command, env={**environment, **extra}, cwd=home, capture_output=True, text=True, timeout=300)
    if done.returncode != expect:
        raise SystemExit(f"sf {' '.join(words)}: exit {done.returncode} instead of {expect}\n{done.stdout:.2000}\n{done.stderr:.2000}")
    return json.loads(done.stdout)


def rest(method, path, body=None, expect=0):
    """One request as the command line's own `api request rest` sends it."""
    words = ["api", "request", "rest", f"/services/data/v60.0/{path}", "--method", method]
    # It wants a body for everything but GET, also where there is none.
    words += ["--body", json.dumps(body or {}), "--header", "Content-Type: application/json"] if method != "GET" else []
    command = [os.environ["NODE"], os.environ["SF"], *words]
    done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, timeout=300)
    if done.returncode != expect:
        raise SystemExit(f"sf {method} {path}: exit {done.returncode} instead of {expect}\n{done.stdout:.2000}\n{done.stderr:.2000}")
    return json.loads(done.stdout) if done.stdout.strip() else None


def write(name, text):
    (home / name).write_text(text, newline="")
    return name


def query(soql):
    return sf("data", "query", "--query", soql)["result"]["records"]


def connect():
    sf(
        "org", "login", "jwt", "--client-id", LINE["clientId"], "--jwt-key-file", os.environ["EMULATOR_JWT_KEY"],
        "--username", USERNAME, "--instance-url", LINE["url"], "--set-default",
    )


def login():
    """A JWT, an access token."""
    connect()
    check("jwt", sf("org", "display")["result"]["instanceUrl"], LINE["url"])
    form = {"grant_type": "client_credentials", "client_id": LINE["clientId"], "client_secret": LINE["clientSecret"]}
    token = json.loads(ask("/services/oauth2/token", urllib.parse.urlencode(form).encode()))["access_token"]
    said = sf("org", "login", "access-token", "--instance-url", LINE["url"], "--no-prompt", "--alias", "token", SF_ACCESS_TOKEN=token)
    check("access token", said["result"]["username"], USERNAME)


def describe():
    connect()
    fields = {field["name"]: field for field in sf("sobject", "describe", "--sobject", "Account")["result"]["fields"]}
    field = fields["icao__c"]
    check("field", (field["externalId"], field["type"], field["length"], field["createable"]), (True, "string", 4, True))
    check("list", "Runway__c" in sf("sobject", "list", "--sobject", "custom")["result"], True)


def paging():
    connect()
    rows = "Name\n" + "".join(f"Airport {n}\n" for n in range(4100))
    bulk_command("import", "insert.csv", rows)
    names = [row["Name"] for row in query("SELECT Name FROM Account")]
    check("every row once", sorted(names), sorted(f"Airport {n}" for n in range(4100)))
    refused = sf("data", "query", "--query", "SELECT Nope FROM Account", expect=1)
    check("bad query", "No such column 'Nope'" in refused["message"], True)


def row():
    connect()
    one = ("--sobject", "Account", "--record-id")
    account = sf("data", "create", "record", "--sobject", "Account", "--values", "Name='Frankfurt' icao__c=EDDF")["result"]["id"]
    sf("data", "update", "record", *one, account, "--values", "Phone=069")
    read = sf("data", "get", "record", "--sobject", "Account", "--where", "icao__c=EDDF")["result"]
    check("read", (read["Id"], read["Name"], read["Phone"]), (account, "Frankfurt", "069"))
    # The command line upserts single rows through its REST door only.
    made = rest("PATCH", "sobjects/Account/icao__c/EDDF", {"Name": "Frankfurt Main"})
    check("upsert of a known key", (made["id"], made["created"]), (account, False))
    check("upsert of a new key", rest("PATCH", "sobjects/Account/icao__c/YSSY", {"Name": "Sydney"})["created"], True)
    check("upserted", [row["Name"] for row in query("SELECT Name FROM Account ORDER BY Name")], ["Frankfurt Main", "Sydney"])
    refused = sf("data", "create", "record", "--sobject", "Account", "--values", "Phone=1", expect=1)
    check("missing field", "Required fields are missing: [Name]" in refused["message"], True)
    check("delete", sf("data", "delete", "record", *one, account)["result"]["success"], True)
    refused = sf("data", "get", "record", *one, account, expect=1)
    check("read deleted", refused["data"]["errorCode"] if "data" in refused else refused["name"], "ENTITY_IS_DELETED")


def collections():
    """`data import tree` has a call of its own (sObject Tree); sObject Collections go through the REST door."""
    connect()
    tree = [{"attributes": {"type": "Account", "referenceId": f"r{n}"}, "Name": f"T{n}"} for n in range(3)]
    made = sf("data", "import", "tree", "--files", write("tree.json", json.dumps({"records": tree})))["result"]
    check("tree", sorted(row["refId"] for row in made), ["r0", "r1", "r2"])
    records = [{"attributes": {"type": "Account"}, **row} for row in ({"Name": "A"}, {"Phone": "1"}, {"Name": "B"})]
    answers = rest("POST", "composite/sobjects", {"allOrNone": False, "records": records})
    check("create", [answer["success"] for answer in answers], [True, False, True])
    check("create says why", answers[1]["errors"][0]["statusCode"], "REQUIRED_FIELD_MISSING")
    ids = ",".join(answer["id"] for answer in answers if answer["success"])
    read = rest("GET", f"composite/sobjects/Account?ids={ids}&fields=Name")
    check("read", [row["Name"] for row in read], ["A", "B"])
    check("delete", [answer["success"] for answer in rest("DELETE", f"composite/sobjects?ids={ids}")], [True, True])
    check("left", [row["Name"] for row in query("SELECT Name FROM Account ORDER BY Name")], ["T0", "T1", "T2"])


def bulk_command(verb, name, text, *more, expect=0):
    words = ("--sobject", "Account", "--file", write(name, text), "--wait", "5", "--line-ending", "LF")
    return sf("data", verb, "bulk", *words, *more, expect=expect)


def results(job):
    """`data bulk results` writes one file a set, none for an empty one."""
    sf("data", "bulk", "results", "--job-id", job)
    sets = []
    for name in ("success", "failed", "unprocessed"):
        path = home / f"{job}-{name}-records.csv"
        sets.append(list(csv.DictReader(path.open(newline=""))) if path.exists() else [])
    return sets


def torn(verb, text, *more):
    """Rows written, rows refused and rows never tried in one job."""
    tear_second_batch()
    said = json.dumps(bulk_command(verb, f"{verb}.csv", text, *more, expect=1))
    check(f"{verb} says why", "Too many lock failures" in said, True)
    sets = results(re.search(r"750\w{15}", said)[0])
    check(f"{verb} counts", [len(rows) for rows in sets], [9999, 1, 1])
    return sets


def bulk():
    connect()
    rows = "".join(f"{'' if n == 5 else f'Airport {n}'},K{n}\n" for n in range(10_001))
    successful, [failed], unprocessed = torn("import", f"Name,External_Id__c\n{rows}")
    check("insert failed", (failed["sf__Id"], failed["External_Id__c"]), ("", "K5"))
    check("insert error", failed["sf__Error"], "REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --")
    check("insert unprocessed", unprocessed, [{"Name": "Airport 10000", "External_Id__c": "K10000"}])
    check("insert created", {row["sf__Created"] for row in successful}, {"true"})
    ids = {row["External_Id__c"]: row["sf__Id"] for row in successful}

    rows = "".join(f"Renamed {n},K{n},{40_000 if n == 7 else 10}\n" for n in range(10_001))
    text = f"Name,External_Id__c,Elevation__c\n{rows}"
    successful, [failed], unprocessed = torn("upsert", text, "--external-id", "External_Id__c")
    check("upsert failed", (failed["External_Id__c"], failed["sf__Error"].split(":")[0]), ("K7", "FIELD_CUSTOM_VALIDATION_EXCEPTION"))
    check("upsert unprocessed", [row["External_Id__c"] for row in unprocessed], ["K10000"])
    created = {row["External_Id__c"]: row["sf__Id"] for row in successful if row["sf__Created"] == "true"}
    check("upsert created", list(created), ["K5"])
    ids |= created

    known = [ids[f"K{n}"] for n in range(9999)] + ["0015e0000000zzz", ids["K9999"]]
    successful, [failed], unprocessed = torn("update", "Id,Phone\n" + "".join(f"{id},123\n" for id in known))
    check("update failed", (failed["sf__Id"], failed["sf__Error"].split(":")[0]), ("0015e0000000zzz", "INVALID_CROSS_REFERENCE_KEY"))
    check("update unprocessed", unprocessed, [{"Id": ids["K9999"], "Phone": "123"}])
    check("update created", {row["sf__Created"] for row in successful}, {"false"})
    check("updated", len(query("SELECT Id FROM Account WHERE Phone = '123'")), 9999)

    successful, [failed], unprocessed = torn("delete", "Id\n" + "".join(f"{id}\n" for id in known))
    check("delete failed", failed["sf__Id"], "0015e0000000zzz")
    check("delete unprocessed", unprocessed, [{"Id": ids["K9999"]}])
    check("deleted", {row["sf__Id"] for row in successful}, set(known[:9999]))
    check("left", [row["External_Id__c"] for row in query("SELECT External_Id__c FROM Account")], ["K9999"])

    # One that completes, one that is refused as a whole.
    said = bulk_command("import", "complete.csv", "Name,icao__c\nA,\nToo long,EDDFX\n", expect=1)
    successful, [failed], unprocessed = results(re.search(r"750\w{15}", json.dumps(said))[0])
    check("complete error", failed["sf__Error"], "STRING_TOO_LONG:ICAO: data value too large: EDDFX (max length=4):icao__c --")
    check("complete rows", ([row["Name"] for row in successful], unprocessed), (["A"], []))
    said = bulk_command("import", "bad.csv", "Name,Nope__c\nA,B\n", expect=1)
    check("unknown column", "Field name not found : Nope__c" in json.dumps(said), True)


def bulk_query():
    connect()
    text = "Name,External_Id__c\n" + "".join(f'"Airport ""{n}"",\nGate",K{n}\n' for n in range(2500))
    bulk_command("import", "insert.csv", text)
    sf(
        "data", "export", "bulk", "--query", "SELECT Name, External_Id__c FROM Account", "--output-file", "export.csv",
        "--result-format", "csv", "--wait", "5",
    )
    with open(home / "export.csv", newline="") as export:
        found = {row["External_Id__c"]: row["Name"] for row in csv.DictReader(export)}
    check("every row", found, {f"K{n}": f'Airport "{n}",\nGate' for n in range(2500)})


section = sys.argv[1]
{"login": login, "describe": describe, "paging": paging, "row": row, "collections": collections, "bulk": bulk, "bulk-query": bulk_query}[section]()
print(f"sf {section}: {checks.passed} checks passed")
