//! What the API server itself refuses, and in which words.

use std::collections::BTreeSet;

use api::Region;
use api::region::StorageKind;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use testkit::apply_yaml;

use crate::support::{REGION, SQL, UPLOAD, World, connections_yaml, job_yaml, tenant_yaml};

const RUN: &str = r#"
apiVersion: dataimporter.io/v1alpha1
kind: ImportRun
metadata: {name: run, namespace: default}
spec: {jobRef: {name: accounts, uid: u}, action: {run: {}}, startBefore: "2026-11-24T06:00:00Z"}
"#;
const FILE: &str =
    "{apiVersion: dataimporter.io/v1alpha1, kind: Upload, metadata: {name: file, namespace: default}, spec: {fileName: a.csv}}";

fn job() -> String {
    job_yaml("default", "accounts", UPLOAD, "{manual: {}}")
}

fn crm() -> String {
    connections_yaml("default").split("---").next().unwrap_or_default().to_owned()
}

fn lake() -> String {
    connections_yaml("default").split("---").last().unwrap_or_default().to_owned()
}

const SEALED: &str = "sealed: {kid: 0123456789abcdef0123456789abcdef, enc: hQH6v9VLNo3MFuE8Fjja68fMFPjQ/jEgzCa+EerX3Xs=, ciphertext: CHHbhTfae7ZULJAZ4d1gPHBsc4yLQSxK}";

/// A Connection with these credentials.
fn sealed(credentials: &str) -> String {
    lake().replace("name: lake,", "name: sealed,").replace("secretRef: {name: lake-password, afterIntake: Keep}", credentials)
}

/// What happens to a manifest: words of the refusal that must appear.
async fn refused(client: &Client, yaml: &str, words: &str) {
    match apply_yaml(client, yaml).await {
        Ok(_) => panic!("accepted, but expected a refusal with {words:?}:\n{yaml}"),
        Err(error) => {
            let text = format!("{error:#}");
            assert!(text.contains(words), "expected {words:?} in: {text}\n{yaml}");
        }
    }
}

/// Manifests, and what an API server says of them.
pub(crate) struct Table {
    /// Taken, each as an object that is new.
    pub(crate) good: Vec<String>,
    /// Taken then, and once more behind everything that is refused.
    pub(crate) taken: Vec<String>,
    /// With words of the refusal that must appear.
    pub(crate) refused: Vec<(String, &'static str)>,
}

pub(crate) fn table() -> Table {
    let enterprise = tenant_yaml("acme", &["default"]).replace("plan: Standard", "plan: Enterprise\n  retention: {results: {keepDays: 3}}");
    let good: Vec<String> =
        vec![REGION.into(), tenant_yaml("acme", &["default"]), enterprise, crm(), lake(), sealed(SEALED), job(), RUN.into(), FILE.into()];
    let edit = |yaml: &str, from: &str, to: &str| {
        assert!(yaml.contains(from), "{from:?} is not in\n{yaml}");
        yaml.replace(from, to)
    };
    let many = |one: &dyn Fn(usize) -> String, count: usize| (0..count).map(one).map(|one| one + ", ").collect::<String>();
    let csv = |said: &str| {
        job_yaml("default", "accounts", &format!("{{upload: {{name: accounts, format: {{csv: {{{said}}}}}}}}}"), "{manual: {}}")
    };
    let named = |yaml: &str, from: &str| edit(yaml, &format!("name: {from}"), "name: other");
    let new_tenant = tenant_yaml("other", &["default"]);
    let schedule = "{schedule: {cron: '0 6 * * *'}}";
    let bucket = |spec: &str| {
        named(&edit(&lake(), "postgres: {host: db.acme.example, database: crm, user: reader}", &format!("s3: {{{spec}}}")), "lake")
    };
    const ROLE: &str = "bucket: lake, region: us-east-1, auth: {webIdentity: {roleArn: 'arn:aws:iam::123456789012:role/reader'}}";
    const APPLICATION: &str =
        "workloadIdentity: {tenantId: ab1f708d-50f6-404c-a006-d71b2ac7a606, clientId: f997392c-e15a-4ad8-af9e-cd6966caba7f}";
    let azure = |auth: &str| {
        let system = format!("azureBlob: {{account: acmeexports, container: exports, auth: {{{auth}}}}}");
        edit(&lake(), "postgres: {host: db.acme.example, database: crm, user: reader}", &system)
            .replace("name: lake", "name: other-azure")
            .replace("other-azure-password", "other-password")
    };
    const SECRET: &str = "secretRef: {name: other-password, afterIntake: Keep}";
    const ACCOUNT: &str = "serviceAccountRef: {name: loader}";
    let file = |path: &str| format!("{{file: {{connectionRef: {{name: lake}}, path: {path:?}}}}}");
    let put_away = |after: &str| {
        let source = format!("{{file: {{connectionRef: {{name: lake}}, path: in/a.csv, afterSuccess: {after}}}}}");
        job_yaml("default", "accounts", &source, "{manual: {}}")
    };
    let chosen = |path: &str, more: &str| format!("{{file: {{connectionRef: {{name: lake}}, path: {path:?}, {more}}}}}");
    let refused: Vec<(String, &str)> = vec![
        // Region
        (edit(REGION, "city: Frankfurt", "city: Dallas"), "location is immutable"),
        (edit(REGION, "isolation: Placement", "isolation: Cell"), "isolation is immutable"),
        (edit(REGION, "volume: {name: files}", "volume: {name: other}"), "storage is immutable"),
        (edit(REGION, "secret: {}", "secret: {}, file: {name: root}"), "exactly one of secret, file must be set"),
        (edit(&named(REGION, "eu-frankfurt"), "labelled: {}", "all: {}"), "nodes.all needs isolation Cell"),
        (
            edit(
                &named(REGION, "eu-frankfurt"),
                "nodes:",
                &format!(
                    "privateEndpoints: [{}]\n  nodes:",
                    many(&|_| format!("{{cidr: 10.0.0.0/8, ports: [443], tenants: [{}]}}", many(&|n| format!("t{n}"), 256)), 5)
                ),
            ),
            "at most 1024 tenants together",
        ),
        // Tenant
        (edit(&tenant_yaml("acme", &["default"]), "region: eu-frankfurt", "region: us-dallas"), "region is immutable"),
        (edit(&tenant_yaml("acme", &["default"]), "  region: eu-frankfurt\n", ""), "spec.region"),
        (edit(&new_tenant, "plan: Standard", "plan: Standard\n  retention: {results: {keepDays: 3}}"), "only plan Enterprise"),
        (edit(&new_tenant, "plan: Standard", "plan: Enterprise\n  retention: {results: {keepDays: 31}}"), "less than or equal to 30"),
        (
            edit(&new_tenant, "plan: Standard", "plan: Enterprise\n  retention: {results: {keepDays: 3, none: {}}}"),
            "exactly one of keepDays, none",
        ),
        (edit(&new_tenant, "email: alan@other.example", "email: 'system:admin'"), "a member is a person"),
        (
            edit(&new_tenant, "members: [", &format!("members: [{}", many(&|n| format!("{{email: {n:a>240}, role: Viewer}}"), 140))),
            "at most 32 KiB together",
        ),
        (edit(&tenant_yaml(&"x".repeat(41), &["default"]), "plan", "plan"), "a tenant's name has at most 40 characters"),
        (edit(&tenant_yaml("a.b", &["default"]), "plan", "plan"), "a tenant's name is a DNS label"),
        // Connection
        (
            named(
                &edit(
                    &lake(),
                    "postgres: {host: db.acme.example, database: crm, user: reader}",
                    "https: {url: 'https://a.example', auth: {header: {name: Host}}}",
                ),
                "lake",
            ),
            "this header is not one for a credential",
        ),
        (bucket("endpoint: 'https://s3.example/path', bucket: lake, region: us-east-1"), "spec.s3.endpoint"),
        (bucket("endpoint: 'http://s3.example', bucket: lake, region: us-east-1"), "spec.s3.endpoint"),
        (bucket("bucket: Lake, region: us-east-1"), "spec.s3.bucket"),
        (bucket("bucket: lake, region: us-east-1.evil.example/"), "spec.s3.region"),
        (bucket("bucket: lake, region: us-east-1, tls: {caBundle: pem}"), "tls goes with endpoint"),
        (bucket("endpoint: 'https://s', bucket: lake, region: us-east-1, tls: {serverName: s}"), "serverName is for databases"),
        (bucket(ROLE), "credentials.serviceAccountRef goes with s3.auth.webIdentity and azureBlob.auth.workloadIdentity"),
        (
            edit(&bucket("bucket: lake, region: us-east-1"), SECRET, ACCOUNT),
            "credentials.serviceAccountRef goes with s3.auth.webIdentity and azureBlob.auth.workloadIdentity",
        ),
        (azure(APPLICATION), "credentials.serviceAccountRef goes with s3.auth.webIdentity and azureBlob.auth.workloadIdentity"),
        (edit(&azure("sas: {}"), SECRET, ACCOUNT), "credentials.serviceAccountRef goes with"),
        (edit(&azure("workloadIdentity: {tenantId: acme, clientId: acme}"), SECRET, ACCOUNT), "tenantId"),
        (edit(&bucket(ROLE), SECRET, ""), "exactly one of secretRef, serviceAccountRef, sealed"),
        (sealed(&format!("{SEALED}, secretRef: {{name: s, afterIntake: Keep}}")), "exactly one of secretRef, serviceAccountRef, sealed"),
        (edit(&bucket(ROLE), SECRET, SEALED), "secretRef or sealed with every other way to log in"),
        (edit(&sealed(SEALED), "kid: 0123456789abcdef", "kid: 0123456789ABCDEF"), "kid"),
        (edit(&sealed(SEALED), "enc: hQH6", "enc: hQH"), "enc"),
        (edit(&sealed(SEALED), "ciphertext: CHHb", "ciphertext: CH-b"), "ciphertext"),
        (edit(&sealed(SEALED), "ciphertext: CHHb", &format!("ciphertext: {}", "CHHb".repeat(8_192))), "ciphertext"),
        (edit(&bucket(&format!("{ROLE}, encryption: {{customerKey: {{}}}}")), SECRET, ACCOUNT), "a customerKey comes from a Secret"),
        (edit(&bucket(&edit(ROLE, "arn:aws", "aws")), SECRET, ACCOUNT), "roleArn"),
        (
            edit(&bucket(&edit(ROLE, "{webIdentity", "{accessKey: {}, webIdentity")), SECRET, ACCOUNT),
            "exactly one of accessKey, webIdentity",
        ),
        (edit(&crm(), "myDomain: acme", "myDomain: acme, loginUrl: 'https://x.example'"), "exactly one of myDomain, loginUrl"),
        (edit(&crm(), "myDomain: acme", "myDomain: acme, tls: {caBundle: pem}"), "tls goes with loginUrl"),
        (edit(&crm(), "myDomain: acme", "loginUrl: 'http://x.example'"), "loginUrl"),
        (
            edit(
                &lake(),
                "postgres: {host: db.acme.example, database: crm, user: reader}",
                "salesforce: {myDomain: a, auth: {clientCredentials: {clientId: i}}}",
            ),
            "the kind of system is immutable",
        ),
        // ImportJob
        (
            edit(&job(), "{from: Company, to: Name}", &many(&|n| format!("{{value: {}, to: F{n}__c}}", "a".repeat(1000)), 110)),
            "at most 100 KiB of text",
        ),
        (job_yaml("default", "accounts", UPLOAD, schedule), "an upload lives one hour"),
        (job_yaml("default", "accounts", "{}", "{manual: {}}"), "exactly one of upload, sql, file"),
        (
            job_yaml(
                "default",
                "accounts",
                "{sql: {connectionRef: {name: lake}, query: SELECT 1, watermark: {column: at}}}",
                "{manual: {}}",
            ),
            "watermark needs orderBy",
        ),
        (job_yaml("default", "accounts", "{sql: {connectionRef: {name: lake}}}", "{manual: {}}"), "exactly one of query, table"),
        (
            job_yaml("default", "accounts", "{sql: {connectionRef: {name: lake}, query: SELECT 1, table: t}}", "{manual: {}}"),
            "exactly one of query, table",
        ),
        (job_yaml("default", "accounts", "{sql: {connectionRef: {name: lake}, table: a..b}}", "{manual: {}}"), "table"),
        (job_yaml("default", "accounts", &chosen("in/a.csv", "choose: All"), "{manual: {}}"), "choose needs a path with a *"),
        (job_yaml("default", "accounts", &chosen("in/*.csv", "choose: Each"), "{manual: {}}"), "Unsupported value"),
        (job_yaml("default", "accounts", &chosen("in/*.csv", "choose: All, unchanged: Skip"), "{manual: {}}"), "leave unchanged out"),
        (put_away("{}"), "exactly one of delete, move must be set"),
        (put_away("{delete: {}, move: {folder: done}}"), "exactly one of delete, move must be set"),
        (put_away("{move: {folder: /done}}"), "folder begins and ends without a slash"),
        (put_away("{move: {folder: done/../in}}"), "folder begins and ends without a slash"),
        (put_away("{move: {folder: 'done-*'}}"), "folder has no *"),
        (job_yaml("default", "files", &file("/in/a.csv"), schedule), "begins and ends without a slash"),
        (job_yaml("default", "files", &file("in/"), schedule), "begins and ends without a slash"),
        (job_yaml("default", "files", &file("in//a.csv"), schedule), "has no part that is empty"),
        (job_yaml("default", "files", &file("in/../a.csv"), schedule), "has no part that is empty, . or .."),
        (job_yaml("default", "files", &file("in/a\n.csv"), schedule), "spec.source.file.path"),
        (
            job_yaml("default", "accounts", "{upload: {name: accounts, format: {csv: {delimiter: \"'\", quote: \"'\"}}}}", "{manual: {}}"),
            "delimiter and quote must be two characters",
        ),
        (
            job_yaml("default", "accounts", "{upload: {name: accounts, format: {csv: {quote: '`'}}}}", "{manual: {}}"),
            "spec.source.upload.format.csv.quote: Unsupported value",
        ),
        (csv("comment: ';', delimiter: ';'"), "comment must be another character than delimiter and quote"),
        (csv("comment: '\"'"), "comment must be another character than delimiter and quote"),
        (csv("comment: \"'\", quote: \"'\""), "comment must be another character than delimiter and quote"),
        (csv("comment: ' '"), "spec.source.upload.format.csv.comment"),
        (csv("escape: ';', delimiter: ';'"), "escape must be another character than delimiter, comment and quote"),
        (csv("escape: '#', comment: '#'"), "escape must be another character than delimiter, comment and quote"),
        (csv("escape: '\"'"), "escape must be another character than delimiter, comment and quote"),
        (csv("columns: [a], headerRow: 2"), "columns is for files without a header"),
        (csv("skipFooterRows: 101"), "spec.source.upload.format.csv.skipFooterRows"),
        (
            job_yaml("default", "accounts", "{upload: {name: accounts, format: {excel: {sheet: A, sheetNumber: 1}}}}", "{manual: {}}"),
            "a sheet has a name or a number",
        ),
        (
            job_yaml("default", "accounts", "{upload: {name: accounts, format: {excel: {range: 'B:H'}}}}", "{manual: {}}"),
            "spec.source.upload.format.excel.range",
        ),
        (
            job_yaml("default", "accounts", "{upload: {name: accounts, format: {csv: {}, excel: {}}}}", "{manual: {}}"),
            "exactly one of csv, excel, json, parquet must be set",
        ),
        (job_yaml("default", "accounts", UPLOAD, "{manual: {}, once: {id: a}}"), "exactly one of once, manual, schedule"),
        (job_yaml("default", "accounts", UPLOAD, "{once: {id: 'No Spaces'}}"), "id"),
        (edit(&job(), "operation: Insert", "operation: Upsert"), "matchBy names the external id field"),
        (edit(&job(), "operation: Insert", "operation: Insert, matchBy: [X__c]"), "matchBy names the external id field"),
        (edit(&job(), "operation: Insert", "operation: Delete"), "need a mapping to Id"),
        (edit(&job(), "{from: Company, to: Name}", "{from: Company, value: x, to: Name}"), "exactly one of from, value, formula"),
        (edit(&job(), "{from: Company, to: Name}", "{value: '1', to: Name, number: {decimal: '.'}}"), "number says how a column writes"),
        (
            edit(&job(), "{from: Company, to: Name}", "{from: Company, to: Name, number: {decimal: '.', thousands: '.'}}"),
            "decimal and thousands must be two signs",
        ),
        (edit(&job(), "{from: Company, to: Name}", "{from: A, to: Name}, {from: B, to: Name}"), "duplicate"),
        (edit(&job(), "source:", "steps: [{filter: 'TRUE', dedupe: {by: [A]}}]\n  source:"), "exactly one of filter, dedupe"),
        (edit(&job(), "source:", "results: {}\n  source:"), "none stands alone"),
        (edit(&job(), "source:", "results: {none: {}, escapeFormulas: false}\n  source:"), "none stands alone"),
        (edit(&job(), "source:", "results: {none: {}, keepDays: 1}\n  source:"), "none stands alone"),
        // ImportRun and Upload
        (edit(RUN, "action: {run: {}}, ", ""), "everything but cancel is immutable"),
        (edit(RUN, "uid: u", "uid: v"), "everything but cancel is immutable"),
        (edit(RUN, "2026-11-24T06:00:00Z", "2026-11-25T06:00:00Z"), "everything but cancel is immutable"),
        (edit(FILE, "a.csv", "b.csv"), "an Upload is immutable"),
    ];
    let mut taken: Vec<String> = vec![
        named(&edit(RUN, "action: {run: {}}, ", ""), "run"),
        bucket("endpoint: 'https://s3.example:9000/', bucket: lake.data, region: us-east-1, tls: {caBundle: pem}"),
        edit(&bucket(ROLE), SECRET, ACCOUNT),
        edit(&azure(APPLICATION), SECRET, ACCOUNT),
        job_yaml("default", "files", &file("in/a b+c%2e..csv"), schedule),
        csv("quote: none, comment: '\"', escape: '\\', skipRows: 1, skipFooterRows: 2, columns: [a], blanksAround: Remove"),
        edit(&job(), "{from: Company, to: Name}", "{from: Company, to: Name, number: {decimal: ',', thousands: ' '}}"),
        // A schedule over a database is fine.
        job_yaml("default", "accounts", SQL, schedule),
        edit(&job_yaml("default", "accounts", SQL, schedule), "source:", "results: {escapeFormulas: false}\n  source:"),
    ];
    let chosen_well = ["choose: All", "choose: Newest, unchanged: Skip"];
    taken.extend(chosen_well.map(|choose| job_yaml("default", "accounts", &chosen("in/*.csv", choose), "{manual: {}}")));
    Table { good, taken, refused }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_schemas_refuse() {
    let world = World::without_operator().await;
    let client = &world.client;
    let edit = |from: &str, to: &str| {
        assert!(RUN.contains(from), "{from:?} is not in\n{RUN}");
        RUN.replace(from, to)
    };
    let Table { good, taken, refused: table } = table();
    for yaml in good.iter().chain(&taken) {
        world.apply(yaml).await;
    }
    for (yaml, words) in &table {
        refused(client, yaml, words).await;
    }
    world.apply(&edit("action:", "cancel: true, action:")).await;
    refused(client, &edit("action:", "cancel: false, action:"), "a cancelled run stays cancelled").await;
    refused(client, RUN, "a cancelled run stays cancelled").await;
    for yaml in &taken {
        world.apply(yaml).await;
    }
}

/// They need servers of the reader's own, so the demo does not apply them.
#[tokio::test(flavor = "multi_thread")]
async fn examples_of_other_sources_are_taken_and_understood() {
    let world = World::without_operator().await;
    world.server.create_namespace("acme").await.unwrap();
    let (mut sources, mut roles) = (BTreeSet::new(), 0);
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/sources")).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let taken = apply_yaml(&world.client, &text).await.unwrap_or_else(|error| panic!("{}: {error:#}", path.display()));
        for object in taken.into_iter().filter(|object| object.types.as_ref().is_some_and(|types| types.kind == "Connection")) {
            let connection: api::Connection = object.try_parse().unwrap();
            sources.insert(connection.spec.system().expect("a system of this version").kind().key());
            roles += usize::from(connection.spec.credentials.service_account_ref().is_some());
        }
    }
    assert_eq!(sources.into_iter().collect::<Vec<_>>(), ["azureBlob", "gcs", "https", "mysql", "s3", "sftp", "sqlServer"]);
    assert_eq!(roles, 1, "one has a role in place of a secret");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_of_a_bucket_is_taken_and_stays_where_it_is() {
    let world = World::without_operator().await;
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/storage/bucket.yaml")).unwrap();
    apply_yaml(&world.client, &text).await.unwrap();
    let regions: Api<Region> = Api::all(world.client.clone());
    let region = regions.get("eu-ireland").await.unwrap();
    let Some(StorageKind::S3(bucket)) = region.spec.storage.kind() else { panic!("it keeps its files in no bucket") };
    assert_eq!((bucket.bucket.as_str(), bucket.secret_ref.name.as_str()), ("acme-dataimporter-ireland", "ireland-bucket"));
    let tls = json!({"caBundle": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"});
    for (changed, refused) in [
        (json!({"s3": {"secretRef": {"name": "another"}}}), None),
        (json!({"s3": {"bucket": "another"}}), Some("immutable")),
        (json!({"s3": {"region": "eu-central-1"}}), Some("immutable")),
        (json!({"s3": {"endpoint": "https://elsewhere.example"}}), Some("immutable")),
        (json!({"s3": null, "volume": {"name": "files"}}), Some("immutable")),
        (json!({"volume": {"name": "files"}}), Some("exactly one")),
        (json!({"s3": {"tls": tls}}), Some("tls goes with endpoint")),
        (json!({"s3": {"endpoint": "http://elsewhere.example"}}), Some("endpoint")),
    ] {
        let patch = Patch::Merge(json!({"spec": {"storage": changed}}));
        let answer = regions.patch("eu-ireland", &PatchParams::default(), &patch).await.map_err(|error| error.to_string());
        match refused {
            None => assert!(answer.is_ok(), "{answer:?}"),
            Some(words) => assert!(answer.as_ref().is_err_and(|error| error.contains(words)), "{changed}: {answer:?}"),
        }
    }
}

/// Text that YAML reads as a number or a boolean, however it is sent. The words are the API server's own and leave no room for the remedy;
/// docs/user/import-jobs.md has it beside them.
#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_lacks_its_quotes_is_refused_with_its_field() {
    let world = World::without_operator().await;
    let table = [
        ("{from: No, to: Name}", "from", "false"),
        ("{value: true, to: Name}", "value", "true"),
        ("{value: 0047, to: Name}", "value", "47"),
    ];
    for (mapping, field, read) in table {
        let yaml = job().replace("{from: Company, to: Name}", mapping);
        let applied =
            format!(".spec.target.salesforce.mapping[to=\"Name\"].{field}: expected string, got &value.valueUnstructured{{Value:{read}}}");
        refused(&world.client, &yaml, &applied).await;
        let object: serde_json::Value = serde_saphyr::from_str(&yaml).unwrap();
        let path = "/apis/dataimporter.io/v1alpha1/namespaces/default/importjobs";
        let created = http::Request::post(path).header("content-type", "application/json").body(object.to_string().into_bytes()).unwrap();
        let error = world.client.request::<serde_json::Value>(created).await.unwrap_err().to_string();
        let words = format!("spec.target.salesforce.mapping[0].{field}: Invalid value: ");
        assert!(error.contains(&words) && error.contains("must be of type string"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_definitions_are_established_structural_and_without_warnings() {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
    let world = World::without_operator().await;
    let api = Api::<CustomResourceDefinition>::all(world.client.clone());
    let crds = api.list(&Default::default()).await.unwrap().items;
    assert_eq!(crds.len(), 6);
    for crd in crds {
        let conditions = crd.status.unwrap().conditions.unwrap_or_default();
        let is = |type_: &str| conditions.iter().any(|c| c.type_ == type_ && c.status == "True");
        assert!(is("Established") && is("NamesAccepted"), "{}: {conditions:?}", crd.spec.names.kind);
        assert!(!is("NonStructuralSchema"), "{}: {conditions:?}", crd.spec.names.kind);
        assert!(crd.spec.names.categories.unwrap_or_default().contains(&"dataimporter".to_owned()));
    }
}
