//! What a database answers to a Connection that is wrong, as its user reads it; and jobs that read only what is new. That rows come out of one,
//! worker by worker, is seen where nothing of them may be left (`at_rest`).

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::Check;
use super::beside::{Beside, SHOP};
use super::runs::Run;
use crate::demo::Demo;

pub(super) const CHECKS: &[Check] = &[
    ("a MariaDB that refuses the password, or is another server than the Connection says, is told with the way out", refusals),
    ("a job with a watermark reads what is new since its last success and nothing else, and how far it came is nowhere in clear", only_new),
];

const TENANT: &str = "shopper";

fn refusals(demo: &Demo) -> Result<()> {
    let mut beside = Beside::start(demo)?;
    beside.mariadb()?;
    beside.tenant(TENANT)?;
    let password = beside.password();
    // The control, and what is wrong with each of the others: its password, the name its server has to prove.
    let cases = [
        ("right", password.as_str(), SHOP, "Verified", "MySQL or MariaDB 1"),
        (
            "password",
            "another",
            SHOP,
            "LoginRefused",
            "correct entry password of Secret password, which is made anew for that, or user and database in spec.mysql",
        ),
        ("name", &password, "other.beside.svc", "TlsRefused", "other.beside.svc"),
    ];
    for (name, password, server_name, ..) in cases {
        beside.shop(TENANT, name, password, server_name)?;
        beside.permit(TENANT, name)?;
    }
    for (name, _, _, reason, words) in cases {
        beside.connection_says(TENANT, name, reason, words)?;
    }
    Ok(())
}

fn only_new(demo: &Demo) -> Result<()> {
    let mut beside = Beside::start(demo)?;
    beside.mariadb()?;
    beside.tenant(TENANT)?;
    beside.org(TENANT)?;
    beside.shop(TENANT, "shop", &beside.password(), SHOP)?;
    beside.intake(TENANT, &["crm", "shop"])?;
    let folder = demo.folder.join("databases");
    std::fs::create_dir_all(&folder)?;
    let query = "SELECT id, first_name, last_name, code FROM contacts";
    let source = json!({"connectionRef": {"name": "shop"}, "query": query, "orderBy": ["id"], "watermark": {"column": "code"}});
    beside.job_from(TENANT, "nightly", &json!({"sql": source}))?;
    let night = |name: &str, reason: &str, read: u64| -> Result<()> {
        let run = Run::start_as(&format!("nightly-{name}-{}", std::process::id()), demo, TENANT, "nightly", &folder)?;
        run.ends("True", reason)?;
        let rows = run.object()?["status"]["rows"].clone();
        ensure!(rows["read"] == read && rows["succeeded"] == read, "{name}: {rows}");
        Ok(())
    };
    night("first", "Completed", 2_000)?;
    night("second", "NothingNew", 0)?;
    let marker = &beside.marker;
    beside
        .shop_does(&format!("INSERT INTO shop.contacts VALUES (2001, 'New', 'Row', '{marker}9998'), (0, 'Old', 'Row', '{marker}0000')"))?;
    // The one that was written behind what was read is not found, as the documentation says.
    night("third", "Completed", 1)?;
    // To begin anew: another beginning, or a job made anew under its name.
    let mut told = source.clone();
    told["watermark"]["from"] = format!("{marker}1999").into();
    beside.job_from(TENANT, "nightly", &json!({"sql": told}))?;
    night("told", "Completed", 2)?;
    night("told-again", "NothingNew", 0)?;
    demo.kubectl.run(&["delete", "importjob", "nightly", "-n", TENANT])?;
    beside.job_from(TENANT, "nightly", &json!({"sql": source}))?;
    night("anew", "Completed", 2_002)?;

    let kept = demo.kubectl.json(&["get", "secrets", "-n", "dataimporter-system", "-l", "dataimporter.io/record=bookmark"])?;
    let kept = kept["items"].as_array().context("a list of Secrets")?;
    let bytes = |secret: &Value| BASE64.decode(secret["data"]["record"].as_str().unwrap_or_default());
    ensure!(!kept.is_empty(), "nothing is kept of the job");
    for secret in kept {
        let (record, shown) = (bytes(secret)?, secret["metadata"].to_string());
        let marked = record.windows(marker.len()).any(|window| window == marker.as_bytes()) || shown.contains(marker.as_str());
        ensure!(record.starts_with(b"DIMP") && !marked, "the watermark is not sealed: {shown}");
    }
    Ok(())
}
