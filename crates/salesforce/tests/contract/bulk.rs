use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use salesforce::bulk::{JobId, JobInfo, JobState, NewJob, Operation, ResultKind, ResultRow};
use salesforce::{Class, Delivery, Error, RowError};
use salesforce_emulator::{Action, Fault};

use crate::org::Org;

type Pieces = futures::stream::Iter<std::vec::IntoIter<Result<Bytes, Infallible>>>;

/// The text in pieces of 64 KiB.
fn pieces(csv: &str) -> impl Fn() -> Pieces {
    let parts: Vec<_> = csv.as_bytes().chunks(64 << 10).map(|part| Ok(Bytes::copy_from_slice(part))).collect();
    move || futures::stream::iter(parts.clone())
}

async fn create(org: &Org, operation: Operation) -> JobId {
    let job = org.client.create_job(&NewJob { object: "Account".into(), operation }).await.unwrap();
    assert_eq!(job.state, JobState::Open);
    job.id
}

async fn wait(org: &Org, job: &JobId) -> JobInfo {
    loop {
        let info = org.client.job(job).await.unwrap();
        if info.state.is_terminal() {
            return info;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The whole way of one job.
pub(crate) async fn load(org: &Org, operation: Operation, csv: &str) -> JobInfo {
    let job = create(org, operation).await;
    let uploaded = org.client.upload(&job, pieces(csv)).await.unwrap();
    assert_eq!(uploaded.bytes, csv.len() as u64);
    assert_eq!(org.client.close_job(&job).await.unwrap().state, JobState::UploadComplete);
    wait(org, &job).await
}

async fn rows(org: &Org, info: &JobInfo, kind: ResultKind) -> Vec<ResultRow> {
    let mut reader = org.client.results(&info.id, kind).await.unwrap();
    reader = match kind {
        ResultKind::Successful => reader.expecting(info.number_records_succeeded()),
        ResultKind::Failed => reader.expecting(info.number_records_failed),
        ResultKind::Unprocessed => reader,
    };
    let (mut rows, mut row) = (Vec::new(), ResultRow::default());
    while reader.next(&mut row).await.unwrap() {
        rows.push(row.clone());
    }
    rows
}

fn upsert() -> Operation {
    Operation::Upsert { external_id_field: "icao__c".into() }
}

#[tokio::test]
async fn an_insert_answers_every_row_with_its_echo() {
    let org = Org::start().await;
    let info = load(&org, Operation::Insert, "Name,icao__c\n\"Frankfurt, Main\",EDDF\n,KDFW\n\"Sydney \"\"Kingsford\"\"\",YSSY\n").await;
    assert_eq!((info.state, info.number_records_processed, info.number_records_failed), (JobState::JobComplete, 3, 1));
    let mut written = rows(&org, &info, ResultKind::Successful).await;
    written.sort_by(|a, b| a.cells[1].cmp(&b.cells[1]));
    assert_eq!(written[0].cells, vec!["Frankfurt, Main", "EDDF"]);
    assert_eq!(written[1].cells, vec!["Sydney \"Kingsford\"", "YSSY"]);
    assert!(written.iter().all(|row| row.created && row.id.len() == 18));
    let failed = rows(&org, &info, ResultKind::Failed).await;
    let error = RowError::parse(&failed[0].error);
    assert_eq!(
        (error.code.as_str(), error.fields.as_slice(), error.class()),
        ("REQUIRED_FIELD_MISSING", &["Name".to_owned()][..], Class::Permanent)
    );
    assert_eq!(failed[0].cells, vec!["", "KDFW"]);
    assert!(failed[0].id.is_empty());
    assert_eq!(org.running.count("Account"), 2);
}

#[tokio::test]
async fn upsert_update_and_delete_do_what_their_names_say() {
    let org = Org::start().await;
    let first = load(&org, upsert(), "icao__c,Name\nEDDF,Frankfurt\nYSSY,Sydney\n").await;
    assert!(rows(&org, &first, ResultKind::Successful).await.iter().all(|row| row.created));
    let second = load(&org, upsert(), "icao__c,Name\nEDDF,Frankfurt am Main\nKDFW,Dallas\n").await;
    let mut written = rows(&org, &second, ResultKind::Successful).await;
    written.sort_by(|a, b| a.cells[0].cmp(&b.cells[0]));
    assert_eq!(written.iter().map(|row| row.created).collect::<Vec<_>>(), [false, true]);
    let id = std::str::from_utf8(&written[0].id).unwrap();
    load(&org, Operation::Update, &format!("Id,BillingCity\n{id},Frankfurt\n")).await;
    assert!(
        org.running.rows("Account", &["Name", "BillingCity"]).contains(&vec![Some("Frankfurt am Main".into()), Some("Frankfurt".into())])
    );
    load(&org, Operation::Delete, &format!("Id\n{id}\n")).await;
    assert_eq!(org.running.count("Account"), 2);
}

#[tokio::test]
async fn an_upload_of_many_pieces_arrives_as_measured() {
    let org = Org::start().await;
    let text: String = std::iter::once("Name\n".to_owned()).chain((0..20_000).map(|n| format!("airport number {n}\n"))).collect();
    let job = create(&org, Operation::Insert).await;
    let uploaded = org.client.upload(&job, pieces(&text)).await.unwrap();
    let seen = &org.running.jobs()[0];
    assert_eq!(uploaded.sha256.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), seen.upload_sha256);
    assert_eq!(uploaded.bytes, seen.upload_bytes as u64);
    org.client.close_job(&job).await.unwrap();
    let info = wait(&org, &job).await;
    assert_eq!(rows(&org, &info, ResultKind::Successful).await.len(), 20_000);
}

#[tokio::test]
async fn a_session_that_ends_before_the_upload_costs_no_second_upload() {
    let org = Org::start().await;
    let job = create(&org, Operation::Insert).await;
    org.running.inject(Fault::new(Action::ExpireSession).on("PUT", "*/batches"));
    org.client.upload(&job, pieces("Name\nx\n")).await.unwrap();
    assert_eq!(org.running.jobs()[0].uploads, 1);
}

#[tokio::test]
async fn a_lost_answer_to_the_upload_leaves_one_upload_and_says_so() {
    for (action, uploads) in [(Action::DropAfter, 1), (Action::DropBefore, 0)] {
        let org = Org::start().await;
        let job = create(&org, Operation::Insert).await;
        org.running.inject(Fault::new(action).on("PUT", "*/batches"));
        let error = org.client.upload(&job, pieces("Name\nx\n")).await.unwrap_err();
        assert_eq!(error.delivery(), Delivery::Unknown);
        assert_eq!(org.running.jobs()[0].uploads, uploads);
        assert_eq!(org.client.abort_job(&job).await.unwrap().state, JobState::Aborted);
        org.client.delete_job(&job).await.unwrap();
        assert!(org.client.job(&job).await.unwrap_err().is_not_found());
    }
}

#[tokio::test]
async fn a_lost_answer_to_the_commit_is_settled_by_looking() {
    let org = Org::start().await;
    for (action, committed) in [(Action::DropAfter, true), (Action::DropBefore, false)] {
        let job = create(&org, Operation::Insert).await;
        org.client.upload(&job, pieces("Name\nx\n")).await.unwrap();
        org.running.inject(Fault::new(action).on("PATCH", "*"));
        assert_eq!(org.client.close_job(&job).await.unwrap_err().delivery(), Delivery::Unknown);
        assert_eq!(org.client.job(&job).await.unwrap().state.shows_commit(), committed);
    }
}

#[tokio::test]
async fn a_second_upload_spoils_the_job() {
    let org = Org::start().await;
    let job = create(&org, Operation::Insert).await;
    org.client.upload(&job, pieces("Name\nx\n")).await.unwrap();
    let second: Result<_, Error> = async {
        org.client.upload(&job, pieces("Name\ny\n")).await?;
        org.client.close_job(&job).await
    }
    .await;
    assert_eq!(second.unwrap_err().class(), Class::SpoiledJob);
}

#[tokio::test]
async fn an_upsert_by_a_field_that_is_no_key_cannot_be_made() {
    let org = Org::start().await;
    let job = NewJob { object: "Account".into(), operation: Operation::Upsert { external_id_field: "Website".into() } };
    let error = org.client.create_job(&job).await.unwrap_err();
    assert_eq!((error.class(), error.code()), (Class::Permanent, Some("INVALIDJOB")));
}

#[tokio::test]
async fn a_job_that_fails_tells_why_and_gives_its_rows_back() {
    let org = Org::start().await;
    let info = load(&org, Operation::Insert, "Nope__c\nx\ny\n").await;
    assert_eq!(info.state, JobState::Failed);
    assert!(info.error_message.as_deref().is_some_and(|text| text.contains("Nope__c")), "{info:?}");
    assert_eq!(rows(&org, &info, ResultKind::Unprocessed).await.len(), 2);
}

#[tokio::test]
async fn aborting_a_finished_job_tells_that_it_finished() {
    let org = Org::start().await;
    let info = load(&org, Operation::Insert, "Name\nx\n").await;
    assert_eq!(org.client.abort_job(&info.id).await.unwrap().state, JobState::JobComplete);
}

#[tokio::test]
async fn locked_rows_are_told_apart_from_wrong_ones() {
    let org = Org::start().await;
    org.running.inject(Fault::new(Action::LockRows { object: "Account".into() }));
    let info = load(&org, Operation::Insert, "Name\nx\ny\n").await;
    let failed = rows(&org, &info, ResultKind::Failed).await;
    assert_eq!(failed.len(), 1);
    assert_eq!(RowError::parse(&failed[0].error).class(), Class::Lock);
}

async fn read_to_end(org: &Org, info: &JobInfo) -> Result<u64, Error> {
    let mut reader = org.client.results(&info.id, ResultKind::Successful).await?.expecting(info.number_records_succeeded());
    let mut row = ResultRow::default();
    while reader.next(&mut row).await? {}
    Ok(reader.rows_read())
}

#[tokio::test]
async fn results_that_are_cut_or_shortened_are_noticed_and_can_be_read_again() {
    let org = Org::start().await;
    let text: String = std::iter::once("Name\n".to_owned()).chain((0..200).map(|n| format!("airport {n}\n"))).collect();
    let info = load(&org, Operation::Insert, &text).await;
    for action in [Action::CutBody { bytes: 300 }, Action::ShortenBody { bytes: 300 }, Action::ShortenBody { bytes: 0 }] {
        // More often than the client tries: an answer that breaks off before its head counts as a try.
        org.running.inject(Fault::new(action.clone()).on("GET", "*/successfulResults*").times(100));
        assert!(read_to_end(&org, &info).await.is_err(), "{action:?}");
        org.running.clear_faults();
        assert_eq!(read_to_end(&org, &info).await.unwrap(), 200);
    }
}

#[tokio::test]
async fn the_janitor_finds_jobs_that_were_left_open() {
    let org = Org::start().await;
    let orphan = create(&org, Operation::Insert).await;
    load(&org, Operation::Insert, "Name\nx\n").await;
    let jobs = org.client.jobs().await.unwrap();
    assert_eq!(jobs.len(), 2);
    let open: Vec<_> = jobs.iter().filter(|job| job.state == JobState::Open).collect();
    assert_eq!(open[0].id, orphan);
    assert!(open[0].created_date.is_some() && open[0].created_by_id.is_some());
}
