//! `dataimporter run` as a person runs it: manifests, a file, the emulator as the org.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use salesforce_emulator::{Emulator, Running};
use serde_json::Value;

#[path = "../../crates/connect/tests/support/answers.rs"]
mod answers;
#[path = "../../crates/connect/tests/support/mariadb.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod mariadb;
#[path = "../../crates/connect/tests/support/minio.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod minio;
mod validate;

const BINARY: &str = env!("CARGO_BIN_EXE_dataimporter");

struct Laptop {
    folder: tempfile::TempDir,
    org: Running,
}

impl Laptop {
    async fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), org: Emulator::builder().start().await.unwrap() }
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Secret and Connection for the emulator.
    fn connection(&self) -> PathBuf {
        let ca = self.org.ca_pem.clone().unwrap().replace('\n', "\n        ");
        let (url, id, secret) = (&self.org.url, &self.org.client_id, &self.org.client_secret);
        self.write(
            "connection.yaml",
            format!(
                "apiVersion: v1
kind: Secret
metadata: {{name: crm-oauth}}
stringData: {{clientSecret: {secret}}}
---
apiVersion: dataimporter.io/v1alpha1
kind: Connection
metadata: {{name: crm}}
spec:
  salesforce:
    loginUrl: {url}
    auth: {{clientCredentials: {{clientId: {id}}}}}
    tls:
      caBundle: |
        {ca}
  credentials: {{secretRef: {{name: crm-oauth, afterIntake: Keep}}}}
"
            ),
        )
    }

    fn job(&self, steps: &str, target: &str, more: &str) -> PathBuf {
        self.write(
            "job.yaml",
            format!(
                "apiVersion: dataimporter.io/v1alpha1
kind: ImportJob
metadata: {{name: airports}}
spec:
  source: {{upload: {{name: airports}}}}
  steps: {steps}
  target: {{salesforce: {{connectionRef: {{name: crm}}, {target}}}}}
{more}"
            ),
        )
    }

    async fn run(&self, job: &Path, csv: impl AsRef<[u8]>, more: &[&str]) -> Output {
        let file = self.write("input.csv", csv);
        let mut command = Command::new(BINARY);
        command
            .current_dir(self.folder.path())
            .arg("run")
            .arg("-f")
            .arg(job)
            .arg("-f")
            .arg(self.connection())
            .arg("--file")
            .arg(file)
            .args(more);
        // The emulator lives in this process.
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    /// A job that reads a database, in one manifest with its Connection.
    async fn run_query(&self, manifests: &str) -> Output {
        let mut command = Command::new(BINARY);
        command
            .current_dir(self.folder.path())
            .args(["run", "-o", "json", "-f"])
            .arg(self.write("query.yaml", manifests))
            .arg("-f")
            .arg(self.connection());
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    fn results(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join("airports-results").join(name)).unwrap()
    }
}

const UPSERT: &str = "object: Account, operation: Upsert, matchBy: [icao__c], mapping: [{from: icao, to: icao__c}, {from: name, to: Name}, \
                      {from: feet, to: Elevation__c}, {formula: '\"from \" & [city]', to: Description}]";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_filtered_mapped_and_loaded_and_every_row_is_told() {
    let laptop = Laptop::new().await;
    let job = laptop.job("[{filter: '[city] <> \"Nowhere\"'}, {dedupe: {by: [icao]}}]", UPSERT, "");
    let csv = "icao,name,city,feet,note\n\
               EDDF,Frankfurt,Frankfurt,364,=1+1\n\
               YSSY,Sydney,Sydney,21,\n\
               EDDF,Frankfurt again,Frankfurt,364,\n\
               ZZZZ,Nowhere,Nowhere,1,\n\
               KDFW,Dallas,Dallas,40000,too high for the org's own rule\n\
               KLAX,,Los Angeles,128,no name\n\
               TOOLONG,Long,Long,1,refused before it is sent\n";
    let output = laptop.run(&job, csv, &["-o", "json"]).await;
    assert_eq!(output.status.code(), Some(4), "{}{}", text(&output.stdout), text(&output.stderr));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["reason"], "CompletedWithFailedRows", "{summary:#}");
    let rows = &summary["rows"];
    let counts = ["read", "filtered", "deduplicated", "succeeded", "failed", "unprocessed"].map(|name| rows[name].as_i64().unwrap());
    assert_eq!(counts, [7, 1, 1, 2, 3, 0], "{summary:#}");
    let told: Vec<i64> = summary["failedRows"].as_array().unwrap().iter().map(|row| row["row"].as_i64().unwrap()).collect();
    assert_eq!(told, [5, 6, 7], "{summary:#}");

    let mut accounts = laptop.org.rows("Account", &["icao__c", "Name", "Description"]);
    accounts.sort();
    let account = |cells: [&str; 3]| cells.map(|cell| Some(cell.to_owned())).to_vec();
    assert_eq!(accounts, [account(["EDDF", "Frankfurt", "from Frankfurt"]), account(["YSSY", "Sydney", "from Sydney"])]);

    let succeeded = laptop.results("succeeded.csv");
    let lines: Vec<&str> = succeeded.lines().collect();
    assert_eq!(lines[0], "icao,name,city,feet,note,sf__Id,sf__Created,sf__Error");
    assert!(lines[1].starts_with("EDDF,Frankfurt,Frankfurt,364,\"'=1+1\",001") && lines[1].ends_with(",true,"), "{}", lines[1]);
    assert!(lines[2].starts_with("YSSY,"), "{}", lines[2]);
    let failed = laptop.results("failed.csv");
    let codes = ["above every place on Earth", "REQUIRED_FIELD_MISSING", "VALUE_TOO_LONG"];
    assert!(failed.lines().skip(1).zip(codes).all(|(line, code)| line.contains(code)), "{failed}");
    assert_eq!(laptop.results("unprocessed.csv").lines().count(), 1);
}

/// A job that says JSON reads its own result file, which is CSV.
#[tokio::test(flavor = "multi_thread")]
async fn packed_json_is_loaded_and_its_failed_rows_come_back() {
    let target = "object: Contact, operation: Insert, mapping: [{from: name.last, to: LastName}, {from: phone, to: Phone}, {from: more, to: Description}]";
    let laptop = Laptop::new().await;
    let file = "{\"name\":{\"first\":\"Ada\",\"last\":\"Lovelace\"},\"phone\":\"+49 30 901820\",\"more\":12345678901234567890.10}\n\
                {\"name\":{\"first\":\"Grace\"},\"phone\":null,\"more\":[1]}\n\
                {\"name\":{\"last\":\"Hopper\"},\"more\":1e3}\n\
                {\"name\":{\"last\":\"Noether\"}\n";
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut packed, file.as_bytes()).unwrap();
    let job = laptop.job("[]", target, "");
    let output = laptop.run(&job, packed.finish().unwrap(), &["-o", "json"]).await;
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    assert_eq!(["read", "succeeded", "failed"].map(|name| summary["rows"][name].as_i64().unwrap()), [4, 2, 2], "{summary:#}");
    let mut contacts = laptop.org.rows("Contact", &["LastName", "Phone", "Description"]);
    contacts.sort();
    let cell = |text: &str| Some(text.to_owned());
    assert_eq!(
        contacts,
        [vec![cell("Hopper"), None, cell("1000")], vec![cell("Lovelace"), cell("+49 30 901820"), cell("12345678901234567890.10")]]
    );
    let failed = laptop.results("failed.csv");
    let lines: Vec<&str> = failed.lines().collect();
    assert!(lines[0].starts_with("name.first,name.last,phone,more,"), "{failed}");
    assert!(lines[1].starts_with("Grace,,,,") && lines[1].contains("NOT_ONE_VALUE: row 2"), "{failed}");
    assert!(lines[2].contains("Noether") && lines[2].contains("MALFORMED_JSON: row 4"), "{failed}");

    let json = std::fs::read_to_string(&job).unwrap().replace("{name: airports}}", "{name: airports, format: {json: {}}}}");
    let output = laptop.run(&laptop.write("again.yaml", json), failed.replace("Grace,,,,", "Grace,Hopper,,a,"), &["-o", "json"]).await;
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    assert_eq!(["read", "succeeded", "failed"].map(|name| summary["rows"][name].as_i64().unwrap()), [2, 1, 1], "{summary:#}");
}

/// What nobody touched arrives as it was, whether apostrophes were added to the file or not.
#[tokio::test(flavor = "multi_thread")]
async fn failed_rows_are_mended_and_loaded_again() {
    let target = "object: Contact, operation: Insert, mapping: [{from: Last Name, to: LastName}, {from: Phone, to: Phone}, \
                  {from: Amount, to: Description}]";
    for (more, row) in [
        ("", ",\"'+49 30 901820\",\"'-12.5\",,,,REQUIRED_FIELD_MISSING"),
        ("  results: {escapeFormulas: false}\n", ",+49 30 901820,-12.5,,,,,REQUIRED_FIELD_MISSING"),
    ] {
        let laptop = Laptop::new().await;
        let job = laptop.job("[]", target, more);
        let output = laptop.run(&job, "Last Name,Phone,Amount\n,+49 30 901820,-12.5\nHopper,+1 202 555 0100,3\n", &[]).await;
        assert_eq!(output.status.code(), Some(4), "{}{}", text(&output.stdout), text(&output.stderr));
        let failed = laptop.results("failed.csv");
        assert!(failed.lines().nth(1).is_some_and(|line| line.starts_with(row)), "{failed}");
        let output = laptop.run(&job, failed.replace("\n,", "\nLovelace,"), &[]).await;
        assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
        let mut contacts = laptop.org.rows("Contact", &["LastName", "Phone", "Description"]);
        contacts.sort();
        let contact = |cells: [&str; 3]| cells.map(|cell| Some(cell.to_owned())).to_vec();
        assert_eq!(contacts, [contact(["Hopper", "+1 202 555 0100", "3"]), contact(["Lovelace", "+49 30 901820", "-12.5"])]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_could_not_be_read_do_not_pass_by_standing_in_a_result_file() {
    let laptop = Laptop::new().await;
    let target = "object: Account, operation: Insert, mapping: [{from: id, to: AccountNumber}, {from: name, to: Name}, \
                  {from: note, to: Description}]";
    let job = laptop.job("[]", target, "");
    let csv =
        b"id,name,note\n1,Quotes,\"say \\\"hi\\\" now\"\n2,Weird,\"Weird Al\" Yankovic\n3,Short\n4,Long,a,b\n5,Zo\xEB,latin\n6,N\xC3\xBCl,a\0b\n";
    let output = laptop.run(&job, csv, &["-o", "json"]).await;
    let counts = |output: &Output| {
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        ["read", "succeeded", "failed"].map(|name| summary["rows"][name].as_i64().unwrap())
    };
    assert_eq!(counts(&output), [6, 0, 6]);
    let first = laptop.results("failed.csv");
    let codes = ["MALFORMED_QUOTE", "MALFORMED_QUOTE", "RAGGED_ROW", "RAGGED_ROW", "INVALID_ENCODING", "NUL_CHARACTER"];
    assert!(first.lines().skip(1).zip(codes).all(|(line, code)| line.contains(code)), "{first}");
    assert!(first.contains("] 4,Long,a,b\"") && first.contains("] 5,Zo\\xEB,latin\""), "{first}");

    let output = laptop.run(&job, &first, &["-o", "json"]).await;
    assert_eq!(counts(&output), [6, 0, 6]);
    let second = laptop.results("failed.csv");
    assert!(second.lines().skip(1).zip(codes).all(|(line, code)| line.contains(code)), "{second}");

    let output = laptop.run(&job, second.replace("5,Zo\u{FFFD},latin", "5,Zoë,latin"), &["-o", "json"]).await;
    assert_eq!(counts(&output), [6, 1, 5]);
    let account = ["5", "Zoë", "latin"].map(|cell| Some(cell.to_owned())).to_vec();
    assert_eq!(laptop.org.rows("Account", &["AccountNumber", "Name", "Description"]), [account]);

    // A file of an earlier version has no column for the raw text: what it says of a row is all that is known of it.
    let old = "id,name,note,sf__Id,sf__Created,sf__Error\n\
               1,Quotes,\"say \\hi\\\"\" now\"\"\",,,\"MALFORMED_QUOTE: row 1 (line 2, byte 29): column \"\"note\"\" has text\"\n\
               3,Short,,,,\"RAGGED_ROW: row 3 (line 4, byte 67): no field for column \"\"note\"\"\"\n\
               7,Long,a,,,REQUIRED_FIELD_MISSING:Required fields are missing\n";
    let output = laptop.run(&job, old, &["-o", "json"]).await;
    assert_eq!(counts(&output), [3, 1, 2]);
    let third = laptop.results("failed.csv");
    assert!(third.lines().skip(1).zip(["MALFORMED_QUOTE", "RAGGED_ROW"]).all(|(line, code)| line.contains(code)), "{third}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_run_ends_with_zero_and_a_second_one_creates_nothing() {
    let laptop = Laptop::new().await;
    let job = laptop.job("[]", UPSERT, "");
    let csv: String =
        std::iter::once("icao,name,city,feet\n".to_owned()).chain((0..5_000).map(|n| format!("{n:04},Airport {n},Town,{n}\n"))).collect();
    for created in ["true", "false"] {
        let output = laptop.run(&job, &csv, &[]).await;
        assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
        assert!(text(&output.stdout).starts_with("Completed\n5,000 read · 5,000 succeeded · 0 failed\n"), "{}", text(&output.stdout));
        assert_eq!(laptop.org.count("Account"), 5_000);
        let told = laptop.results("succeeded.csv");
        assert!(
            told.lines()
                .skip(1)
                .enumerate()
                .all(|(n, line)| line.starts_with(&format!("{n:04},")) && line.ends_with(&format!(",{created},")))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_wrong_with_a_job_is_told_at_once_and_nothing_is_sent() {
    let laptop = Laptop::new().await;
    let target = "object: Account, operation: Insert, mapping: [{from: nam, to: Name}, {from: city, to: NoSuchField__c}]";
    let job = laptop.job("[{filter: '[cty] = 1'}]", target, "");
    let output = laptop.run(&job, "name,city\nA,B\n", &[]).await;
    assert_eq!(output.status.code(), Some(3));
    let told = text(&output.stdout);
    assert!(told.starts_with("PreflightFailed\n"), "{told}");
    for finding in ["nam", "NoSuchField__c", "cty"] {
        assert!(told.contains(finding), "{told}");
    }
    assert!(laptop.org.jobs().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parents_field_that_is_no_key_is_told_before_anything_is_sent() {
    let laptop = Laptop::new().await;
    for (to, expected) in [
        ("Account.Name", "mapping to Account.Name: Name: Account cannot be found by this field: it is no key; it is found by "),
        (
            "Account.External_Idd__c",
            "Account has no such field, or this user may not see it, did you mean External_Id__c?; it is found by ",
        ),
    ] {
        let target = format!("object: Contact, operation: Insert, mapping: [{{from: last, to: LastName}}, {{from: company, to: {to}}}]");
        let output = laptop.run(&laptop.job("[]", &target, ""), "last,company\nLovelace,Acme\n", &[]).await;
        let told = text(&output.stdout);
        assert_eq!(output.status.code(), Some(3), "{told}");
        assert!(told.starts_with("PreflightFailed\n") && told.contains(expected), "{told}");
        assert!(told.contains("External_Id__c"), "{told}");
    }
    assert!(laptop.org.jobs().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn values_out_of_a_list_fail_or_are_told() {
    let laptop = Laptop::new().await;
    let target = "object: Account, operation: Insert, mapping: [{from: \"n\", to: Name}, {from: ind, to: Industry}, {from: tier, to: Tier__c}, \
                  {from: note, to: Description}]";
    let csv = "n,ind,tier,note\n1,Banking,Gold,\n2,Bankign,Gold,NULL\n3,banking,gold,\n4,Banking,Golden,\n5,\"Banking \",Gold,NULL\n";
    let output = laptop.run(&laptop.job("[]", target, ""), csv, &["-o", "json"]).await;
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&summary["rows"]["succeeded"], &summary["rows"]["failed"]), (&4.into(), &1.into()), "{summary:#}");
    assert_eq!(
        summary["failedRows"][0]["reason"],
        "NOT_IN_PICKLIST: Tier__c is a restricted picklist without the value \"Golden\"; did you mean \"Gold\"?"
    );
    let warnings: Vec<_> = summary["warnings"].as_array().unwrap().iter().map(|w| (&w["field"], &w["rows"], &w["firstRow"])).collect();
    assert_eq!(warnings, [(&"Industry".into(), &1.into(), &2.into()), (&"Description".into(), &2.into(), &2.into())], "{summary:#}");
    let mut industries = laptop.org.rows("Account", &["Name", "Industry"]);
    industries.sort();
    let fifth = [Some("5".to_owned()), Some("Banking".to_owned())];
    assert_eq!(industries.last().unwrap()[..], fifth);

    let output = laptop.run(&laptop.job("[]", target, ""), csv, &[]).await;
    let told = text(&output.stdout);
    assert!(told.contains("Warnings\n  Industry: its picklist has no such value; Salesforce adds it (row 2)\n"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cell_that_looks_empty_is_empty() {
    let laptop = Laptop::new().await;
    let upsert = "object: Contact, operation: Upsert, matchBy: [External_Id__c], mapping: [{from: key, to: External_Id__c}, \
                  {from: \"last\\u00a0name\", to: LastName}, {from: mail, to: Department}, \
                  {formula: 'IF(ISBLANK([key]), \"blank for ISBLANK\", \"not blank\")', to: Title}]";
    let csv = "key,last\u{A0}name,mail\n\u{A0},Nobody,\u{A0}\n\u{3000},Noone,a@example.org\n";
    let output = laptop.run(&laptop.job("[]", upsert, ""), csv, &["-o", "json"]).await;
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&summary["rows"]["read"], &summary["rows"]["failed"]), (&2.into(), &2.into()), "{summary:#}");
    for row in summary["failedRows"].as_array().unwrap() {
        assert_eq!(row["reason"], "BLANK_VALUE: External_Id__c is blank and must not be: it finds the row");
    }
    assert_eq!(laptop.org.count("Contact"), 0);

    let insert = "object: Contact, operation: Insert, mapping: [{from: last name, to: LastName}]";
    let output = laptop.run(&laptop.job("[]", insert, ""), csv, &[]).await;
    let told = text(&output.stdout);
    assert!(told.contains("there is no column \"last name\", did you mean \"last<U+00A0>name\"?"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_keeps_its_zeros_or_the_formula_is_refused() {
    let laptop = Laptop::new().await;
    let job = |formula: &str| {
        let target = format!("object: Account, operation: Insert, mapping: [{{from: code, to: Name}}, {{formula: '{formula}', to: Site}}]");
        laptop.job("[]", &target, "")
    };
    for formula in
        [r#"MAP([code], {01: "North", 10: "South"}, "?")"#, r#"IF([code] = 01, "North", "?")"#, r#"MAP([code], {"01": 007}, "?")"#]
    {
        let output = laptop.run(&job(formula), "code\n01\n1\n10\n", &[]).await;
        let told = text(&output.stdout);
        assert_eq!(output.status.code(), Some(3), "{told}");
        assert!(told.contains(r#"write "01" if it is a code"#) || told.contains(r#"write "007" if it is a code"#), "{told}");
    }
    assert!(laptop.org.jobs().is_empty());
    let output = laptop.run(&job(r#"MAP([code], {"01": "North", 10: "South"}, "?")"#), "code\n01\n1\n10\n", &[]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    let mut sites = laptop.org.rows("Account", &["Name", "Site"]);
    sites.sort();
    let site = |cells: [&str; 2]| cells.map(|cell| Some(cell.to_owned())).to_vec();
    assert_eq!(sites, [site(["01", "North"]), site(["1", "?"]), site(["10", "South"])]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_manifest_is_usage_and_says_where() {
    let laptop = Laptop::new().await;
    let job = laptop.job("[]", UPSERT, "  gards: {}\n");
    let output = laptop.run(&job, "icao\n", &[]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("there is no field spec.gards"), "{}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_that_nobody_knows_is_usage_and_a_known_one_is_that_of_the_times() {
    let laptop = Laptop::new().await;
    let target = "object: Account, operation: Insert, mapping: [{from: name, to: Name}, {from: at, to: Checked_At__c}]";
    let run = async |zone: &str| {
        let job = laptop.job("[]", target, "");
        let text = std::fs::read_to_string(&job).unwrap();
        let source = "source: {upload: {name: airports}";
        assert!(text.contains(source), "control");
        let job = laptop.write("job.yaml", text.replace(source, &format!("{source}, timeZone: {zone}")));
        laptop.run(&job, "name,at\nA,2026-07-31T09:00:00\n", &[]).await
    };
    let output = run("Europe/Atlantis").await;
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(said.contains("job airports: source.timeZone \"Europe/Atlantis\" is not a time zone: use an IANA name"), "{said}");
    let output = run("Europe/Berlin").await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let account = ["A", "2026-07-31T07:00:00.000Z"].map(|cell| Some(cell.to_owned()));
    assert_eq!(laptop.org.rows("Account", &["Name", "Checked_At__c"]), [account]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_login_and_a_job_without_results_leave_no_file() {
    let laptop = Laptop::new().await;
    let job = laptop.job("[]", UPSERT, "  results: {none: {}}\n");
    let output = laptop.run(&job, "icao,name,city,feet\nEDDF,F,F,1\n", &[]).await;
    assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
    assert!(!laptop.folder.path().join("airports-results").exists());

    let connection = std::fs::read_to_string(laptop.connection()).unwrap().replace(&laptop.org.client_secret, "wrong-secret");
    let mut command = Command::new(BINARY);
    let wrong = laptop.write("wrong.yaml", connection);
    command
        .current_dir(laptop.folder.path())
        .arg("run")
        .args([Path::new("-f"), &job, Path::new("-f"), &wrong])
        .args(["--file", "input.csv"]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert_eq!(output.status.code(), Some(3));
    let told = text(&output.stdout) + &text(&output.stderr);
    assert!(told.starts_with("AuthorizationFailed\n") && !told.contains("wrong-secret"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_failed_rows_stop_the_run() {
    let laptop = Laptop::new().await;
    let job = laptop.job("[]", UPSERT, "  guards: {maxFailedPercent: 5}\n");
    let csv: String =
        std::iter::once("icao,name,city,feet\n".to_owned()).chain((0..2_000).map(|n| format!("{n:04},,Town,{n}\n"))).collect();
    let output = laptop.run(&job, &csv, &["-o", "json"]).await;
    assert_eq!(output.status.code(), Some(3));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((summary["reason"].as_str(), summary["rows"]["failed"].as_i64()), (Some("TooManyFailedRows"), Some(2_000)), "{summary:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_are_no_rows_are_counted_and_are_not_sent() {
    let laptop = Laptop::new().await;
    let job = laptop.job("[{filter: '[city] <> \"Nowhere\"'}]", UPSERT, "");
    // Two exports, one behind the other, as `copy a+b` joins them, and the footer of a report.
    let csv = "\u{FEFF}icao,name,city,feet\r\nEDDF,Frankfurt,Frankfurt,364\r\nZZZZ,Nowhere,Nowhere,1\r\n\u{FEFF}icao,name,city,feet\r\n\
               YSSY,Sydney,Sydney,21\r\n\r\n\r\nAirports\r\n\"Copyright (c) 2000-2026 salesforce.com, inc. All rights reserved.\"\r\n\
               Confidential Information - Do Not Distribute\r\n\"Generated By: Ada Lovelace 11/24/2026, 6:10 AM\"\r\n\x1A";
    let output = laptop.run(&job, csv, &["-o", "json"]).await;
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = &summary["rows"];
    let counts = ["read", "filtered", "skipped", "succeeded", "failed", "unprocessed"].map(|name| rows[name].as_i64().unwrap());
    assert_eq!((summary["reason"].as_str(), counts), (Some("Completed"), [9, 1, 6, 2, 0, 0]), "{summary:#}");
    assert_eq!(laptop.results("succeeded.csv").lines().count(), 3);
    let output = laptop.run(&job, csv, &["--results-dir", "again"]).await;
    assert!(text(&output.stdout).contains("\n9 read · 1 filtered · 6 skipped · 2 succeeded · 0 failed\n"), "{}", text(&output.stdout));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_column_is_told_with_what_was_read() {
    let laptop = Laptop::new().await;
    let job = laptop.job("[]", UPSERT, "");
    let output = laptop.run(&job, "Icao;Name;Town;Feet\nEDDF;Frankfurt;Frankfurt;364\n", &["-o", "json"]).await;
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["reason"], "PreflightFailed", "{summary:#}");
    let message = summary["message"].as_str().unwrap();
    let expected = "source: the file, cut at semicolons (detected), read as UTF-8, has the columns \"Icao\", \"Name\", \"Town\", \"Feet\"; \
                    mapping to icao__c: there is no column \"icao\", did you mean \"Icao\"?; ";
    assert!(message.starts_with(expected), "{message}");
}

/// What a person reads who made a mistake: all of it, and no credential.
#[test]
fn a_mistake_is_told_in_words_and_with_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("broken.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: crm}\nstringData: {clientSecret: hush-hush]\n");
    write("secret.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: crm}\ndata: {clientSecret: hush-hush}\n");
    write("none.yaml", "hush-hush\n");
    write("empty.yaml", "");
    let cases = [
        ("broken.yaml", "broken.yaml: not YAML, at line 4, column 13"),
        ("secret.yaml", "secret.yaml: a Secret that is none: data must be base64"),
        ("none.yaml", "none.yaml: a document without apiVersion and kind"),
        ("empty.yaml", "the manifests hold no ImportJob"),
        ("nope.yaml", "nope.yaml cannot be read: No such file or directory"),
    ];
    for (file, says) in cases {
        let output = Command::new(BINARY).current_dir(folder.path()).args(["run", "-f", file]).output().unwrap();
        let told = text(&output.stdout) + &text(&output.stderr);
        assert_eq!((output.status.code(), told.as_str()), (Some(2), format!("dataimporter run: {says}\n").as_str()), "{file}");
    }
}

/// `… | head -1`: the run is what it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pipe_changes_no_outcome() {
    let laptop = Laptop::new().await;
    let job = laptop.job("[]", UPSERT, "");
    let file = laptop.write("input.csv", "icao,name,city,feet\nEDDF,F,F,1\n");
    let connection = laptop.connection();
    for shut in ["stdout", "both"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(BINARY);
        command.current_dir(laptop.folder.path()).arg("run").args([Path::new("-f"), &job, Path::new("-f"), &connection]);
        command.arg("--file").arg(&file).stderr(std::process::Stdio::piped());
        if shut == "both" {
            command.stderr(writer.try_clone().unwrap());
        }
        command.stdout(writer);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""), "{shut}");
    }
}

/// The org's host is known where the certificate is not good, and nothing was refused that was never shown.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_nobody_vouches_for_is_named() {
    let laptop = Laptop::new().await;
    let job = laptop.job("[]", UPSERT, "  results: {none: {}}\n");
    laptop.write("input.csv", "icao,name,city,feet\nEDDF,F,F,1\n");
    // Trusts somebody else.
    let other = Emulator::builder().start().await.unwrap();
    let (own, others) = [&laptop.org, &other].map(|org| org.ca_pem.clone().unwrap().replace('\n', "\n        ")).into();
    let connection = std::fs::read_to_string(laptop.connection()).unwrap();
    assert!(connection.contains(&own), "control: the bundle is in the manifest");
    let wrong = laptop.write("wrong.yaml", connection.replace(&own, &others));
    let mut command = Command::new(BINARY);
    command
        .current_dir(laptop.folder.path())
        .arg("run")
        .args([Path::new("-f"), &job, Path::new("-f"), &wrong])
        .args(["--file", "input.csv"]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{told}");
    let host = "127.0.0.1";
    assert!(
        told.starts_with("TargetFailed\n") && told.contains(&format!("from {host} (the request was not sent): its certificate")),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_mariadb_query_are_loaded_and_a_wrong_password_is_told() {
    let laptop = Laptop::new().await;
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let database = mariadb::MariaDb::start(&leaf.pem(), &key.serialize_pem());
    database.run(
        "CREATE TABLE airports (icao CHAR(4), name VARCHAR(40), city VARCHAR(40), feet DECIMAL(8, 2)) CHARACTER SET utf8mb4; \
         INSERT INTO airports VALUES ('EDDF', 'Zoë ✈', 'Frankfurt', 364.00), ('KDFW', 'Dallas', 'Dallas', NULL), ('YSSY', NULL, 'Sydney', 21)",
    );
    let manifests = |password: &str| {
        let ca = authority.pem().replace('\n', "\n        ");
        format!(
            "apiVersion: v1
kind: Secret
metadata: {{name: warehouse}}
stringData: {{password: {password:?}}}
---
apiVersion: dataimporter.io/v1alpha1
kind: Connection
metadata: {{name: warehouse}}
spec:
  mysql:
    host: 127.0.0.1
    port: {}
    database: warehouse
    user: reader
    tls:
      caBundle: |
        {ca}
  credentials: {{secretRef: {{name: warehouse, afterIntake: Keep}}}}
---
apiVersion: dataimporter.io/v1alpha1
kind: ImportJob
metadata: {{name: airports}}
spec:
  source: {{sql: {{connectionRef: {{name: warehouse}}, query: 'SELECT icao, name, city, feet FROM airports', orderBy: [icao]}}}}
  target: {{salesforce: {{connectionRef: {{name: crm}}, {UPSERT}}}}}
",
            database.port
        )
    };
    let refused = laptop.run_query(&manifests("wrong")).await;
    let said = text(&refused.stdout);
    let reason = serde_json::from_str::<Value>(&said).unwrap()["reason"].clone();
    assert_eq!(reason, "SourceFailed", "{said}{}", text(&refused.stderr));
    assert!(said.contains("refused the login") && !said.contains("wrong"), "{said}");

    let output = laptop.run_query(&manifests(mariadb::PASSWORD)).await;
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    let counts = ["read", "succeeded", "failed"].map(|name| summary["rows"][name].as_i64().unwrap());
    assert_eq!(counts, [3, 2, 1], "{summary:#}{}", text(&output.stderr));
    let mut accounts = laptop.org.rows("Account", &["icao__c", "Name", "Elevation__c"]);
    accounts.sort();
    let account = |icao: &str, name: &str, feet: Option<&str>| [Some(icao), Some(name), feet].map(|cell| cell.map(str::to_owned)).to_vec();
    assert_eq!(accounts, [account("EDDF", "Zoë ✈", Some("364")), account("KDFW", "Dallas", None)]);
    assert!(laptop.results("failed.csv").contains("YSSY"), "{}", laptop.results("failed.csv"));
}

/// A bucket, and a job that reads a file of it.
fn lake(port: u16, ca: &str, region: &str, path: &str) -> String {
    let ca = ca.replace('\n', "\n        ");
    format!(
        "apiVersion: v1
kind: Secret
metadata: {{name: lake}}
stringData: {{accessKeyId: {}, secretAccessKey: {}}}
---
apiVersion: dataimporter.io/v1alpha1
kind: Connection
metadata: {{name: lake}}
spec:
  s3:
    endpoint: https://127.0.0.1:{port}
    bucket: {}
    region: {region}
    tls:
      caBundle: |
        {ca}
  credentials: {{secretRef: {{name: lake, afterIntake: Keep}}}}
---
apiVersion: dataimporter.io/v1alpha1
kind: ImportJob
metadata: {{name: airports}}
spec:
  source: {{file: {{connectionRef: {{name: lake}}, path: {path}}}}}
  target: {{salesforce: {{connectionRef: {{name: crm}}, {UPSERT}}}}}
",
        minio::KEY_ID,
        minio::SECRET,
        minio::BUCKET,
    )
}

/// There are no ServiceAccounts without a cluster.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_needs_a_cluster_is_told_with_the_way_out() {
    let laptop = Laptop::new().await;
    let by_role = lake(1, &laptop.org.address.to_string(), "eu-central-1", "in/a.csv")
        .replace("    tls:\n", "    auth: {webIdentity: {roleArn: 'arn:aws:iam::123456789012:role/reader'}}\n    tls:\n")
        .replace("secretRef: {name: lake, afterIntake: Keep}", "serviceAccountRef: {name: loader}");
    let output = laptop.run_query(&by_role).await;
    let told = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(!output.status.success() && told.contains("Connection lake: a ServiceAccount has tokens only in a cluster"), "{told}");
    assert!(told.contains("credentials.secretRef"), "{told}");
}

/// A server that breaks off again and again: the file is not taken for a shorter one, and nothing of it is lost or sent twice by going on.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_ends_early_is_no_shorter_file() {
    const FIRST: &str = "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 0-0/60\r\netag: \"v1\"\r\ncontent-length: 1\r\n\r\ni";
    const CUT: &str = "HTTP/1.1 200 OK\r\netag: \"v1\"\r\ncontent-length: 60\r\n\r\nicao,name,city,feet\nEDDF,Frankfurt,";
    const NOTHING: &str = "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 35-59/60\r\netag: \"v1\"\r\ncontent-length: 25\r\n\r\n";
    let laptop = Laptop::new().await;
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let server = answers::Answers::start(&leaf, &key, &[FIRST, CUT, NOTHING]).await;
    let output = laptop.run_query(&lake(server.port, &authority.pem(), "us-east-1", "a.csv")).await;
    let said = text(&output.stdout);
    let summary: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}{}", text(&output.stderr)));
    assert_eq!(summary["reason"], "Interrupted", "{said}");
    assert!(said.contains("bucket warehouse at 127.0.0.1") && said.contains("it may succeed later"), "{said}");
    assert!(server.asked().len() > 3 && laptop.org.rows("Account", &["icao__c"]).is_empty());
}

/// A file in a bucket of a real MinIO with TLS goes into the org, and what is in the way is told with the way out.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs MinIO: cargo xtask test s3"]
async fn a_file_in_a_bucket_goes_into_the_org() {
    let laptop = Laptop::new().await;
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let server = minio::Minio::start(&leaf.pem(), &key.serialize_pem(), &authority.pem()).await;
    server.put("exports/air ports.csv", "icao,name,city,feet\nEDDF,Zoë ✈,Frankfurt,364\nKDFW,Dallas,Dallas,\nYSSY,,Sydney,21\n").await;
    server.put("exports/empty.csv", "").await;
    server.put("exports/cut.csv.gz", &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..]).await;
    let manifests = |edit: &dyn Fn(String) -> String| edit(lake(server.port, &authority.pem(), minio::REGION, "exports/air ports.csv"));
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "another authority");
    let other = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let other = other.pem().replace('\n', "\n        ");
    let ours = authority.pem().replace('\n', "\n        ");
    for (from, to, words) in [
        (format!("bucket: {}", minio::BUCKET), "bucket: nobodys", "there is no such bucket: correct the bucket"),
        (format!("region: {}", minio::REGION), "region: us-west-2", "the bucket is in another region, eu-central-1: correct the region"),
        (format!("accessKeyId: {}", minio::KEY_ID), "accessKeyId: AKIANOBODY", "the access key id is not known there"),
        (minio::SECRET.to_owned(), "another pass phrase", "the secret access key is not that of the access key id"),
        (ours, &other, "put the PEM of its authority into tls.caBundle"),
        ("air ports.csv".to_owned(), "gone.csv", "correct source.file.path, or put the file there"),
        ("exports/air ports.csv".to_owned(), "exports/empty.csv", "the file is empty"),
        ("exports/air ports.csv".to_owned(), "exports/cut.csv.gz", "the file is gzip-compressed and cannot be unpacked"),
        ("exports/air ports.csv".to_owned(), "../nobodys/a.csv", "cannot be the key of an object"),
    ] {
        let output = laptop.run_query(&manifests(&|text| text.replace(&from, to))).await;
        let said = text(&output.stdout);
        let summary: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{to}: {said}{}", text(&output.stderr)));
        assert_eq!(summary["reason"], "SourceFailed", "{to}: {said}");
        assert!(said.contains(words) && !said.contains(minio::SECRET) && !said.contains("pass phrase"), "{to}: {said}");
    }

    let output = laptop.run_query(&manifests(&|text| text)).await;
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    let counts = ["read", "succeeded", "failed"].map(|name| summary["rows"][name].as_i64().unwrap());
    assert_eq!(counts, [3, 2, 1], "{summary:#}{}", text(&output.stderr));
    assert!(laptop.results("failed.csv").contains("YSSY"), "{}", laptop.results("failed.csv"));

    // What becomes of the file: with a failed row it is not deleted, but moved.
    let after =
        |after: &str| manifests(&|text| text.replace("exports/air ports.csv", &format!("exports/air ports.csv, afterSuccess: {after}")));
    let refused = laptop.run_query(&after("{move: {folder: exports}}")).await;
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("name another folder"), "{}", text(&refused.stderr));
    for (what, words) in [
        ("{delete: {}}", "\"exports/air ports.csv\" is not deleted, as rows of it have failed"),
        ("{move: {folder: done}}", "\"exports/air ports.csv\" was moved to \"done/air ports.csv\""),
        ("{delete: {}}", "bucket warehouse has no object \"exports/air ports.csv\""),
    ] {
        let output = laptop.run_query(&after(what)).await;
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        let said = summary["message"].as_str().unwrap();
        assert!(said.contains(words), "{what}: {said}");
    }
}
