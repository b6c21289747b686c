"""The sf command line against the emulator: logins, describe, query, rows, Bulk 2.0 import, update, upsert, delete, export."""

import csv
import json
import os
import pathlib
import subprocess
import urllib.parse
import urllib.request
import ssl

line = json.load(open(os.environ["EMULATOR_LINE"]))
work = pathlib.Path(os.environ["WORK"]) / "sf"
work.mkdir()
environment = {
    "HOME": str(work), "PATH": os.environ["PATH"], "NODE_EXTRA_CA_CERTS": os.environ["NODE_EXTRA_CA_CERTS"],
    "SF_DISABLE_TELEMETRY": "true", "SF_SKIP_NEW_VERSION_CHECK": "true", "SF_AUTOUPDATE_DISABLE": "true",
    "SF_USE_GENERIC_UNIX_KEYCHAIN": "true", "SF_DISABLE_LOG_FILE": "true", "NO_COLOR": "1", "CI": "true",
}
checks = 0


def check(name, actual, expected):
    global checks
    checks += 1
    if actual != expected:
        raise SystemExit(f"sf: {name}: {actual!r} instead of {expected!r}")


def sf(*words, expect=0, **extra):
    """Runs one command and returns what it says in JSON."""
    command = [os.environ["NODE"], os.environ["SF"], *words, "--json"]
    done = subprocess.run(command, env={**environment, **extra}, cwd=work, capture_output=True, text=True, timeout=300)
    if done.returncode != expect:
        raise SystemExit(f"sf {' '.join(words)}: exit {done.returncode} instead of {expect}\n{done.stdout}\n{done.stderr}")
    return json.loads(done.stdout)


def write(name, text):
    (work / name).write_text(text, newline="")
    return name


def access_token():
    form = {"grant_type": "client_credentials", "client_id": line["clientId"], "client_secret": line["clientSecret"]}
    context = ssl.create_default_context(cafile=os.environ["EMULATOR_CA"])
    data = urllib.parse.urlencode(form).encode()
    with urllib.request.urlopen(f"{line['url']}/services/oauth2/token", data, context=context) as answer:
        return json.load(answer)["access_token"]


# Logins: an access token, a JWT.
token = access_token()
said = sf("org", "login", "access-token", "--instance-url", line["url"], "--no-prompt", "--alias", "token", SF_ACCESS_TOKEN=token)
check("access token login", said["result"]["username"], os.environ["EMULATOR_USERNAME"])
said = sf(
    "org", "login", "jwt", "--client-id", line["clientId"], "--jwt-key-file", os.environ["EMULATOR_JWT_KEY"],
    "--username", os.environ["EMULATOR_USERNAME"], "--instance-url", line["url"], "--alias", "org", "--set-default",
)
check("jwt login", said["result"]["instanceUrl"], line["url"])

# Describe.
fields = {field["name"]: field for field in sf("sobject", "describe", "--sobject", "Account")["result"]["fields"]}
check("describe", (fields["icao__c"]["externalId"], fields["icao__c"]["length"]), (True, 4))
check("list", "Runway__c" in sf("sobject", "list", "--sobject", "custom")["result"], True)

# One row.
account = sf("data", "create", "record", "--sobject", "Account", "--values", "Name='Frankfurt' icao__c=EDDF")["result"]["id"]
sf("data", "update", "record", "--sobject", "Account", "--record-id", account, "--values", "Phone=069")
check("row", sf("data", "get", "record", "--sobject", "Account", "--where", "icao__c=EDDF")["result"]["Phone"], "069")
refused = sf("data", "create", "record", "--sobject", "Account", "--values", "Phone=1", expect=1)
check("refused row", "Required fields are missing: [Name]" in refused["message"], True)

# Bulk 2.0. Import prints counts, bulk results fetches the rows.
rows = "Name,External_Id__c\n" + "".join(f"Airport {n},K{n}\n" for n in range(2500))
said = sf("data", "import", "bulk", "--sobject", "Account", "--file", write("insert.csv", rows), "--wait", "5", "--line-ending", "LF")["result"]
check("import", (said["processedRecords"], said["successfulRecords"], said["failedRecords"]), (2500, 2500, 0))
sf("data", "bulk", "results", "--job-id", said["jobId"])
with open(next(work.glob(f"{said['jobId']}-success-records.csv"))) as results:
    ids = {row["External_Id__c"]: row["sf__Id"] for row in csv.DictReader(results)}
check("success file", len(ids), 2500)

mixed = write("mixed.csv", "Name,External_Id__c\nRenamed,K1\nNew,KNEW\n,NONAME\n")
said = sf("data", "upsert", "bulk", "--sobject", "Account", "--file", mixed, "--external-id", "External_Id__c", "--wait", "5", "--line-ending", "LF", expect=1)
text = json.dumps(said)
check("upsert says one failed", "failed" in text.lower(), True)
check("upserted", sf("data", "query", "--query", "SELECT Name FROM Account WHERE External_Id__c = 'K1'")["result"]["records"][0]["Name"], "Renamed")
check("inserted", sf("data", "query", "--query", "SELECT COUNT() FROM Account WHERE External_Id__c = 'KNEW'")["result"]["totalSize"], 1)

update = write("update.csv", f"Id,Phone\n{ids['K2']},123\n")
said = sf("data", "update", "bulk", "--sobject", "Account", "--file", update, "--wait", "5", "--line-ending", "LF")["result"]
check("update", (said["successfulRecords"], said["failedRecords"]), (1, 0))
said = sf("data", "delete", "bulk", "--sobject", "Account", "--file", write("delete.csv", f"Id\n{ids['K3']}\n"), "--wait", "5", "--line-ending", "LF")
check("deleted", sf("data", "query", "--query", "SELECT COUNT() FROM Account WHERE External_Id__c = 'K3'")["result"]["totalSize"], 0)
bad = write("bad.csv", "Name,Nope__c\nA,B\n")
said = sf("data", "import", "bulk", "--sobject", "Account", "--file", bad, "--wait", "5", "--line-ending", "LF", expect=1)
check("unknown column", "Field name not found : Nope__c" in json.dumps(said), True)

# Query with paging, and the bulk export.
check("query", len(sf("data", "query", "--query", "SELECT Id FROM Account")["result"]["records"]), 2501)
sf("data", "export", "bulk", "--query", "SELECT Id, Name FROM Account", "--output-file", "export.csv", "--result-format", "csv", "--wait", "5")
with open(work / "export.csv") as export:
    check("export", len(list(csv.DictReader(export))), 2501)
print(f"sf: {checks} checks passed")
