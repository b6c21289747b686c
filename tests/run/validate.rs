//! `dataimporter validate` as a pipeline runs it: folders of manifests, good and bad ones.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{BINARY, Laptop, text};

fn validate(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(BINARY).current_dir(folder).arg("validate").args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn fed(arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(BINARY);
    let mut child =
        command.arg("validate").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// What it said of a repository with these files.
fn of(files: &[(&str, &str)], arguments: &[&str]) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let output = validate(folder.path(), arguments);
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

const CONNECTION: &str = "apiVersion: dataimporter.io/v1alpha1
kind: Connection
metadata: {name: crm, namespace: acme}
spec:
  salesforce: {myDomain: acme, auth: {clientCredentials: {clientId: me}}}
  credentials: {secretRef: {name: crm-oauth, afterIntake: Keep}}
";

const JOB: &str = "apiVersion: dataimporter.io/v1alpha1
kind: ImportJob
metadata: {name: accounts, namespace: acme}
spec:
  source: {upload: {name: file}}
  target:
    salesforce:
      connectionRef: {name: crm}
      object: Account
      operation: Insert
      mapping:
      - {from: a, to: Name}
";

fn job(from: &str, to: &str) -> String {
    assert!(JOB.contains(from), "{from}");
    JOB.replace(from, to)
}

#[test]
fn every_example_is_right() {
    let examples = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/examples"));
    let here = std::fs::read_dir(examples).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    // The repository is by itself: it has a Region that is among the examples, too.
    let here: Vec<String> = here.filter(|name| name != "gitops" && (name.ends_with(".yaml") || !name.contains('.'))).collect();
    let output = validate(examples, &here.iter().map(String::as_str).collect::<Vec<_>>());
    let (said, summary) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}{summary}");
    assert!(said.lines().all(|line| line.contains(": warning: ")) && summary.contains(": 0 errors, "), "{said}{summary}");
    assert!(summary.contains("objects in 15 files"), "{summary}");
    // A Secret with its owner's consent, and a Connection that the job names: nothing to say.
    let output = validate(examples, &["--strict", "10-regions.yaml", "20-tenants.yaml", "-f", "30-connections.yaml", "-f", "40-jobs.yaml"]);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(0), ""), "{}", text(&output.stderr));
    let repository = examples.join("gitops");
    let output = validate(&repository, &["--strict", "platform", "orchard", "cells/dallas-production/orchard"]);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(0), ""), "{}", text(&output.stderr));
    // Another tool brings the Secrets of staging.
    let output = validate(&repository, &["platform", "orchard", "cells/dallas-staging/orchard"]);
    let said = text(&output.stdout);
    assert_eq!((output.status.code(), said.lines().count()), (Some(0), 2), "{said}{}", text(&output.stderr));
    assert!(said.lines().all(|line| line.contains("is not among the files, in the same namespace")), "{said}");
}

/// Each with its place, its field, and the way out.
#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (files, expected) in [
        (
            vec![("a.yaml", job("from: a", "form: a"))],
            "a.yaml:12:10: error: ImportJob acme/accounts: spec.target.salesforce.mapping[0].form: there is no such field, did you mean from?",
        ),
        (
            vec![("a.yaml", job("Insert", "Insrt"))],
            "a.yaml:10:18: error: ImportJob acme/accounts: spec.target.salesforce.operation: \"Insrt\" is no such word, did you mean Insert?",
        ),
        (
            vec![("a.yaml", job("from: a", "from: No"))],
            "a.yaml:12:16: error: ImportJob acme/accounts: spec.target.salesforce.mapping[0].from: No is no text to readers of YAML; write \
             it in quotes: \"No\"",
        ),
        (
            vec![("a.yaml", job("{upload: {name: file}}", "{}"))],
            "a.yaml:5:3: error: ImportJob acme/accounts: spec.source: exactly one of upload, sql, file must be set",
        ),
        (
            vec![("a.yaml", job("operation: Insert", "operation: Upsert"))],
            "a.yaml:7:5: error: ImportJob acme/accounts: spec.target.salesforce: matchBy names the external id field",
        ),
        (
            vec![("a.yaml", job("{from: a, to: Name}", "{formula: 'UPER([a])', to: Name}"))],
            "a.yaml:12:19: error: ImportJob acme/accounts: spec.target.salesforce.mapping[0].formula: character 1: there is no function UPER, \
             did you mean UPPER?",
        ),
        (
            vec![("a.yaml", job("  source:", "  steps: [{filter: '[a] = '}]\n  source:"))],
            "a.yaml:5:20: error: ImportJob acme/accounts: spec.steps[0].filter: character 7: ",
        ),
        (
            vec![(
                "a.yaml",
                job(
                    "{upload: {name: file}}",
                    "{sql: {connectionRef: {name: crm}, query: SELECT 1}}\n  trigger: {schedule: {cron: '0 6 * *'}}",
                ),
            )],
            "a.yaml:6:30: error: ImportJob acme/accounts: spec.trigger.schedule.cron: trigger.schedule.cron \"0 6 * *\": ",
        ),
        (
            vec![("a.yaml", job("{upload: {name: file}}", "{upload: {name: file}, timeZone: Mars/Base}"))],
            "a.yaml:5:44: error: ImportJob acme/accounts: spec.source.timeZone: source.timeZone \"Mars/Base\" is not a time zone",
        ),
        (
            vec![("a.yaml", job("{upload: {name: file}}", "{upload: {name: file, format: {csv: {columns: [b, c]}}}}"))],
            "a.yaml:12:16: error: ImportJob acme/accounts: spec.target.salesforce.mapping[0].from: there is no column \"a\"",
        ),
        (
            vec![
                ("jobs/a.yaml", job("{upload: {name: file}}", "{sql: {connectionRef: {name: crm}, query: SELECT 1}}")),
                ("crm.yaml", CONNECTION.to_owned()),
            ],
            "jobs/a.yaml:5:40: error: ImportJob acme/accounts: spec.source.sql.connectionRef.name: Connection crm: a source.sql needs a Connection of kind",
        ),
        (
            vec![("a.yaml", job("kind: ImportJob", "kind: ImportJobb"))],
            "a.yaml:2:7: error: ImportJobb acme/accounts: kind: dataimporter.io/v1alpha1 has no such kind, did you mean ImportJob?",
        ),
        (
            vec![("a.yaml", job("v1alpha1", "v1"))],
            "a.yaml:1:13: error: ImportJob acme/accounts: apiVersion: there is no such version: write dataimporter.io/v1alpha1",
        ),
        (vec![("a.yaml", "a: 1\n".to_owned())], "a.yaml:1:1: error: this is no object of Kubernetes: it lacks apiVersion, kind or both"),
        (
            vec![("a.yaml", job("  source:", "  source: {}\n  source:"))],
            "a.yaml:6:3: error: ImportJob acme/accounts: the key source is there already, in line 5: keep one of them",
        ),
        (vec![("a.yaml", job("spec:", "spec: ["))], "error: this is no YAML: "),
        (
            vec![("a.yaml", job("name: accounts", "name: Accounts_1"))],
            "a.yaml:3:18: error: ImportJob acme/Accounts_1: metadata.name: \"Accounts_1\" is not of the form ",
        ),
        (vec![("a.yaml", job("name: accounts, ", ""))], "a.yaml:3:1: error: ImportJob: metadata.name: is missing"),
    ] {
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let (code, said, summary) = of(&files, &["."]);
        assert!(
            code == 1 && said.lines().any(|line| line.starts_with(expected) || line.contains(expected)),
            "{expected}\nin {said}{summary}"
        );
    }
}

#[test]
fn tenants_and_regions_are_held_against_each_other() {
    let tenant = |name: &str, namespaces: &str| {
        format!(
            "apiVersion: dataimporter.io/v1alpha1\nkind: Tenant\nmetadata: {{name: {name}}}\nspec:\n  region: eu\n  namespaces: [{namespaces}]\n  \
             contact: {{firstName: A, lastName: B, email: a@b.example, company: C, country: DE}}\n  plan: Standard\n---\n"
        )
    };
    let files =
        [tenant("one", "acme, kube-system"), tenant("two", "acme"), CONNECTION.replace("namespace: acme", "namespace: other")].concat();
    let (code, said, _) = of(&[("all.yaml", &files)], &["all.yaml"]);
    assert_eq!(code, 1);
    for expected in [
        "all.yaml:5:11: warning: Tenant one: spec.region: Region eu is not among the files",
        "all.yaml:6:22: error: Tenant one: spec.namespaces[1]: namespace kube-system is the cluster's own and can be no tenant's",
        "all.yaml:15:16: error: Tenant two: spec.namespaces[0]: namespace acme belongs to Tenant one",
        "warning: Connection other/crm: metadata.namespace: no Tenant among the files lists namespace other",
        "warning: Connection other/crm: spec.credentials.secretRef.name: Secret crm-oauth is not among the files",
    ] {
        assert!(said.contains(expected), "{expected}\nin {said}");
    }
    let region = "apiVersion: dataimporter.io/v1alpha1\nkind: Region\nmetadata: {name: eu}\nspec:\n  location: {city: Berlin, country: DE}\n  \
                  isolation: Cell\n  storage: {volume: {name: files}}\n  rootKey: {file: {name: root}}\n  nodes: {all: {}}\n---\n";
    let connection = CONNECTION.replace("myDomain: acme", "loginUrl: 'https://crm.example'");
    let files = [region, &region.replace("name: eu", "name: us"), &tenant("one", "acme"), &connection].concat();
    let (code, said, _) = of(&[("all.yaml", &files)], &["all.yaml"]);
    assert_eq!(code, 1);
    assert!(said.contains("spec.salesforce.loginUrl: in Region eu: crm.example is not a Salesforce login host"), "{said}");
    assert!(said.contains("warning: Region eu: spec.isolation: ") && !said.contains("error: Region"), "{said}");
    let listed = files.replace("nodes: {all: {}}", "nodes: {all: {}}\n  allowedLoginHosts: [crm.example]");
    assert_eq!(of(&[("all.yaml", &listed)], &["all.yaml"]).0, 0);
}

#[test]
fn warnings_count_when_they_shall_and_secrets_are_looked_into() {
    let files = [("job.yaml", JOB), ("crm.yaml", CONNECTION)];
    let (code, said, summary) = of(&files, &["."]);
    assert_eq!((code, said.lines().count()), (0, 1), "{said}");
    assert!(
        said.contains("crm.yaml:6:35: warning: Connection acme/crm: spec.credentials.secretRef.name: Secret crm-oauth is not among"),
        "{said}"
    );
    assert_eq!(summary, "2 objects in 2 files: 0 errors, 1 warning\n");
    assert_eq!(of(&files, &["--strict", "."]).0, 1);
    assert_eq!(of(&files, &["job.yaml"]).0, 0);
    // One with its credential in it asks for no other object.
    let sealed = CONNECTION.replace(
        "secretRef: {name: crm-oauth, afterIntake: Keep}",
        "sealed: {kid: 0123456789abcdef0123456789abcdef, enc: hQH6v9VLNo3MFuE8Fjja68fMFPjQ/jEgzCa+EerX3Xs=, ciphertext: CHHbhTfae7ZULJAZ4d1gPHBsc4yLQSxK}",
    );
    assert!(sealed.contains("sealed: "), "{sealed}");
    assert_eq!(
        of(&[files[0], ("crm.yaml", &sealed)], &["--strict", "."]),
        (0, String::new(), "2 objects in 2 files: 0 errors, 0 warnings\n".into())
    );
    // A name that another object of the job has.
    let (code, said, _) = of(&files, &["job.yaml", "-o", "json"]);
    let report: Value = serde_json::from_str(&said).unwrap();
    let finding = &report["findings"][0];
    assert_eq!((code, &finding["line"], &finding["field"]), (0, &8.into(), &"spec.target.salesforce.connectionRef.name".into()), "{said}");
    assert_eq!((&report["warnings"], &report["errors"], &report["objects"]), (&1.into(), &0.into(), &1.into()));

    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: crm-oauth, namespace: acme}\nstringData: {password: hush-hush}\n";
    let (code, said, _) = of(&[files[0], files[1], ("secret.yaml", secret)], &["."]);
    assert_eq!(code, 1);
    assert!(said.contains("error: Connection acme/crm: spec.credentials.secretRef.name: Secret crm-oauth lacks clientSecret"), "{said}");
    assert!(said.contains("it does not consent to this Connection") && !said.contains("hush"), "{said}");
}

#[test]
fn no_value_of_a_secret_is_ever_told() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: acme}\n";
    for broken in [
        "data: {clientSecret: hush-hush}",
        "data: [hush-hush]",
        "data: {a: 1, b: hush-hush}",
        "stringData: {clientSecret: [hush-hush]}",
        "stringData: {clientSecret: 'hush-hush",
        "stringData: {a: hush-hush, a: hush-hush}",
        "stringData: {clientSecret: &x hush-hush, b: *y}",
        "stringData:\n  a: hush-hush\n b: c",
        "stringData: {clientSecret: !!int hush-hush}\nhush: *hush-hush",
    ] {
        for form in ["text", "json", "github"] {
            let (code, said, summary) = of(&[("s.yaml", &format!("{secret}{broken}\n"))], &["-o", form, "."]);
            // `!!int` is no number here, and nothing else is wrong with it.
            assert!(code == 1 && (form == "json" || said.lines().count() >= 1), "{broken}: {said}");
            assert!(!said.contains("hush-hush") && !summary.contains("hush-hush"), "{broken}: {said}{summary}");
        }
    }
}

#[test]
fn other_kinds_lists_and_standard_input_are_understood() {
    let list = format!("apiVersion: v1\nkind: List\nitems:\n- {}", job("from: a", "form: a").trim_end().replace('\n', "\n  "));
    let output =
        fed(&["-o", "github", "-f", "-"], &format!("# nothing\n---\n{list}\n---\napiVersion: apps/v1\nkind: Deployment\nspec: {{}}\n"));
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stdout);
    assert!(
        said.contains("::error file=<stdin>,line=17,col=12,title=dataimporter validate::ImportJob acme/accounts: spec.target"),
        "{said}"
    );
    assert!(text(&output.stderr).ends_with("; passed over: 1 object of another kind\n"), "{}", text(&output.stderr));

    let json = "{\"apiVersion\": \"dataimporter.io/v1alpha1\", \"kind\": \"Upload\", \"metadata\": {\"name\": \"u\"}, \"spec\": {}}";
    let (code, said, _) =
        of(&[("kustomization.yaml", "resources: [u.json]\n"), ("u.json", json), ("chart/Chart.yaml", ""), (".x/y.yaml", "- {")], &["."]);
    assert!(code == 1 && said.lines().count() == 1 && said.contains("u.json:1:89: error: Upload u: spec.fileName: is missing"), "{said}");
}

#[test]
fn wrong_usage_is_told_apart() {
    for arguments in [&[][..], &["-f", "missing.yaml"], &["--no-such-flag", "."], &["-o", "xml", "."]] {
        let (code, said, why) = of(&[], arguments);
        assert!(code == 2 && said.is_empty() && !why.is_empty(), "{arguments:?}: {code} {why}");
    }
    let (code, said, _) = of(&[], &["--help"]);
    assert!(code == 0 && said.contains("--strict") && said.contains("--ask-orgs") && said.contains("Exit codes: 0 "), "{said}");
}

/// What somebody made to hurt ends soon, with words.
#[test]
fn hostile_files_are_refused_soon() {
    let bomb: String = (1..40).fold("apiVersion: dataimporter.io/v1alpha1\nkind: ImportJob\na0: &a0 [x]\n".to_owned(), |bomb, n| {
        let before = vec![format!("*a{}", n - 1); 9].join(", ");
        bomb + &format!("a{n}: &a{n} [{before}]\n")
    });
    let many = "apiVersion: dataimporter.io/v1alpha1\nkind: Upload\nmetadata: {name: u}\nspec: {fileName: a.csv}\n---\n".repeat(10_000);
    let bad = format!("{}---\n", job("from: a", "form: a")).repeat(1_200);
    let began = Instant::now();
    for (name, content, code, expected) in [
        ("bomb", bomb, 1, "the aliases of this document stand for more than"),
        ("deep", "[".repeat(1 << 20), 1, "this is no YAML: "),
        ("long", job("from: a", &format!("from: \"{}\"", "é".repeat(8 << 20 >> 1))), 1, "characters, more than"),
        ("large", " ".repeat(17 << 20), 1, "is larger than 16 MiB"),
        ("many", many, 0, "it stands in many.yaml:1, too"),
        ("bad", bad, 1, "there is no such field, did you mean from?"),
    ] {
        let (found, said, summary) = of(&[(&format!("{name}.yaml"), &content)], &[&format!("{name}.yaml")]);
        assert_eq!(found, code, "{name}: {summary}");
        let first = said.lines().next().unwrap_or_default();
        assert!(said.contains(expected) && first.len() < 600 && said.lines().count() <= 1000, "{name}: {first} {summary}");
        println!("{name}: {:?}", began.elapsed());
    }
    assert!(began.elapsed() < Duration::from_secs(300), "{:?}", began.elapsed());
}

/// The owner of the Secret in this file lets the Connection in it show it to its endpoint.
fn consent(file: &Path) {
    let text = std::fs::read_to_string(file).unwrap();
    let (_, connection) = text.split_once("---\n").unwrap();
    let digest = serde_saphyr::from_str::<api::Connection>(connection).unwrap().spec.endpoint_digest();
    let annotated = format!("metadata: {{name: crm-oauth, annotations: {{dataimporter.io/consent: crm={digest}}}}}");
    let lines = text.lines().map(|line| if line.starts_with("metadata: {name: crm-oauth") { annotated.as_str() } else { line });
    std::fs::write(file, lines.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_compared_with_their_orgs() {
    let laptop = Laptop::new().await;
    let connection = laptop.connection();
    consent(&connection);
    let ask = |job: std::path::PathBuf, more: &'static [&'static str]| {
        let (folder, connection) = (laptop.folder.path().to_owned(), connection.clone());
        tokio::task::spawn_blocking(move || {
            let arguments = [&["--ask-orgs", "-f", job.to_str().unwrap(), "-f", connection.to_str().unwrap()], more].concat();
            let output = validate(&folder, &arguments);
            (output.status.code().unwrap(), text(&output.stdout) + &text(&output.stderr))
        })
    };
    let good = "object: Account, operation: Upsert, matchBy: [icao__c], mapping: [{from: icao, to: icao__c}, {from: name, to: Name}]";
    let (code, said) = ask(laptop.job("[]", good, ""), &[]).await.unwrap();
    assert!(code == 0 && !said.contains("mapping"), "{said}");

    let bad =
        "object: Account, operation: Insert, mapping: [{from: a, to: Nmae}, {from: b, to: CreatedDate}, {value: x, to: Elevation__c}]";
    let (code, said) = ask(laptop.job("[]", bad, ""), &[]).await.unwrap();
    assert_eq!(code, 1, "{said}");
    for expected in [
        "spec.target.salesforce.mapping[0].to: Account has no field Nmae, or this user may not see it, did you mean Name?",
        "spec.target.salesforce.mapping[1].to: CreatedDate cannot be written on Insert",
        "spec.target.salesforce.mapping[2].value: Elevation__c takes ",
        "warning: ImportJob airports: spec.target.salesforce.mapping: Account needs Name in a new record, and no entry maps to it",
    ] {
        assert!(said.contains(expected), "{expected}\nin {said}");
    }
    // Without the flag nobody is asked.
    let job = laptop.job("[]", bad, "");
    let output = validate(laptop.folder.path(), &["-f", job.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));

    let (code, said) = ask(laptop.job("[]", &good.replace("object: Account", "object: Acount"), ""), &[]).await.unwrap();
    assert!(code == 1 && said.contains("spec.target.salesforce.object: target: the org has no object Acount"), "{said}");

    // Somebody proposes to send the secret to a server of theirs: in the Connection, in a second one, with a Secret of their own beside it.
    let theirs = salesforce_emulator::Emulator::builder().start().await.unwrap();
    let mine = std::fs::read_to_string(&connection).unwrap();
    let (secret, to_ours) = mine.split_once("---\n").unwrap();
    let indented = |org: &salesforce_emulator::Running| org.ca_pem.clone().unwrap().replace('\n', "\n        ");
    let to_theirs = to_ours.replace(&laptop.org.url, &theirs.url).replace(&indented(&laptop.org), &indented(&theirs));
    let digest = serde_saphyr::from_str::<api::Connection>(&to_theirs).unwrap().spec.endpoint_digest();
    let own = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: crm-oauth, annotations: {{dataimporter.io/consent: crm={digest}}}}}\nstringData: {{clientSecret: x}}\n"
    );
    for (proposed, told) in [
        (format!("{secret}---\n{to_theirs}"), true),
        (format!("{secret}---\n{to_theirs}---\n{to_ours}"), true),
        (format!("{secret}---\n{to_ours}---\n{to_theirs}"), false),
        (format!("{secret}---\n{own}---\n{to_theirs}"), true),
    ] {
        std::fs::write(&connection, &proposed).unwrap();
        let (_, said) = ask(laptop.job("[]", good, ""), &[]).await.unwrap();
        assert_eq!(
            said.contains("Secret crm-oauth does not consent to Connection crm at this endpoint, so it is shown to nobody"),
            told,
            "{said}"
        );
        assert_eq!(theirs.requests(), [], "it was shown to them: {proposed}");
    }
    // Control: with the owner's consent it goes there.
    std::fs::write(&connection, format!("{secret}---\n{to_theirs}")).unwrap();
    consent(&connection);
    let (_, said) = ask(laptop.job("[]", good, ""), &[]).await.unwrap();
    assert!(!said.contains("does not consent") && !theirs.requests().is_empty(), "{said}");
    std::fs::write(&connection, mine).unwrap();

    let wrong = std::fs::read_to_string(&connection).unwrap().replace(&laptop.org.client_secret, "hush-hush");
    std::fs::write(&connection, wrong).unwrap();
    let (code, said) = ask(laptop.job("[]", good, ""), &["-o", "json"]).await.unwrap();
    assert!(code == 1 && said.contains("invalid_client") && !said.contains("hush-hush"), "{said}");
    assert!(laptop.org.jobs().is_empty() && laptop.org.count("Account") == 0);
}
