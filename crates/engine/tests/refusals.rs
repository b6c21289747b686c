//! What is refused before it is sent is what the org refuses: a wrong refusal costs a row that would have been loaded. Each good form of a
//! value is changed in every place in many ways, sent past our checks, and what the org takes must have passed them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use connect::{AddressPolicy, Dialer, HttpsOptions, Trust};
use engine::pipeline::{Outcome, Pipeline};
use engine::row::Header;
use engine::row::Record;
use futures::stream;
use salesforce::auth::{Grant, Login, LoginHost, TokenIssuer};
use salesforce::bulk::{JobState, NewJob, Operation, ResultKind, ResultRow};
use salesforce::{Client, SessionCache};
use salesforce_emulator::{Emulator, Running};

const FIELDS: [&str; 7] = ["Name", "Opened__c", "Checked_At__c", "Verified__c", "AnnualRevenue", "NumberOfEmployees", "Tier__c"];

/// A field, its good forms, and how many characters in front stay as they are: which years an org knows is not asked here.
const FORMS: [(usize, &[&str], usize); 6] = [
    (1, &["2024-02-29", "2026-12-31"], 4),
    (2, &["2024-02-29T23:59:59.999Z", "2026-01-31T09:00:00+01:00", "2026-01-31T09:00:00-0800"], 4),
    (3, &["true", "FALSE", "1", "0"], 0),
    (4, &["1234.5", "-12", "1.2E3", ".5", "5.", "+7"], 0),
    (5, &["12", "-3", "1.0"], 0),
    (6, &["Gold", "silver"], 0),
];

const PIECES: [&str; 18] = ["", "0", "1", "2", "3", "9", "-", "+", ".", ",", ":", "T", "Z", " ", "e", "x", "/", "%"];

/// The good forms, and each with every character replaced by, and followed by, every piece.
fn variants(good: &str, fixed: usize) -> impl Iterator<Item = String> {
    let places: Vec<usize> = (fixed..good.len()).collect();
    let changed = places.into_iter().flat_map(move |at| {
        PIECES.iter().flat_map(move |piece| {
            let (before, behind) = (&good[..at], &good[at + 1..]);
            [format!("{before}{piece}{behind}"), format!("{before}{}{piece}{behind}", &good[at..=at])]
        })
    });
    std::iter::once(good.to_owned()).chain(changed)
}

fn client(org: &Running) -> Client {
    let http = Dialer::new(AddressPolicy::unrestricted()).https(HttpsOptions { trust: Trust::SystemAnd(org.ca_pem.as_deref()) }).unwrap();
    let host = LoginHost::parse(&org.url, &[org.address.ip().to_string()]).unwrap();
    let grant = Grant::ClientCredentials { client_id: org.client_id.clone(), client_secret: org.client_secret.clone().into() };
    let issuer = TokenIssuer::new(Login::new(http.clone(), host), grant, Arc::new(jiff::Timestamp::now));
    Client::new(http, Arc::new(SessionCache::new(issuer)))
}

/// Loads the rows as they are; the names of those that the org refused.
async fn refused_by_the_org(client: &Client, rows: &[Record]) -> HashSet<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(FIELDS).unwrap();
    rows.iter().for_each(|row| writer.write_record(row).unwrap());
    let body = Bytes::from(writer.into_inner().unwrap());
    let job = client.create_job(&NewJob { object: "Account".into(), operation: Operation::Insert }).await.unwrap();
    client.upload(&job.id, || stream::iter([Ok::<_, std::io::Error>(body.clone())])).await.unwrap();
    client.close_job(&job.id).await.unwrap();
    let state = loop {
        match client.job(&job.id).await.unwrap().state {
            state if state.is_terminal() => break state,
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    assert_eq!(state, JobState::JobComplete);
    let mut results = client.results(&job.id, ResultKind::Failed).await.unwrap();
    let (mut row, mut refused) = (ResultRow::default(), HashSet::new());
    while results.next(&mut row).await.unwrap() {
        refused.insert(String::from_utf8(row.cells[0].to_vec()).unwrap());
    }
    refused
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_refused_that_the_org_takes() {
    let org = Emulator::builder().start().await.unwrap();
    let client = client(&org);
    let describe = client.describe("Account").await.unwrap();
    let mapping: Vec<_> = FIELDS.iter().map(|field| serde_json::json!({"from": field, "to": field})).collect();
    let spec = serde_json::from_value(serde_json::json!({
        "source": {"upload": {"name": "file"}},
        "target": {"salesforce": {"connectionRef": {"name": "crm"}, "object": "Account", "operation": "Insert", "mapping": mapping}},
    }))
    .unwrap();
    let mut pipeline = Pipeline::compile(&spec, &Header::new(FIELDS), &describe, &[]).unwrap_or_else(|findings| panic!("{findings:?}"));

    let (mut ours, mut kept, mut sent) = (Vec::new(), 0, Vec::new());
    for (field, forms, fixed) in FORMS {
        for value in forms.iter().flat_map(|good| variants(good, fixed)) {
            let name = format!("{} {}", FIELDS[field], sent.len());
            let mut cells = vec![""; FIELDS.len()];
            (cells[0], cells[field]) = (&name, &value);
            let row = Record::from(cells);
            match pipeline.process(sent.len() as u64 + 1, &row, &mut Record::new()) {
                Outcome::Failed(_) => ours.push((name, value)),
                _ => kept += 1,
            }
            sent.push(row);
        }
    }
    let theirs = refused_by_the_org(&client, &sent).await;
    let wrong: Vec<_> = ours.iter().filter(|(name, _)| !theirs.contains(name)).collect();
    assert!(wrong.is_empty(), "{} are refused here and taken by the org, as {:?}", wrong.len(), &wrong[..wrong.len().min(20)]);
    // Both answers are common, or nothing was compared.
    assert!(ours.len() > 1_000 && kept > 500, "{} refused, {kept} kept", ours.len());
}
