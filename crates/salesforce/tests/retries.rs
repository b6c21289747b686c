//! What is sent again and what never is, against a server that plays a script.

mod support;

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use salesforce::bulk::{JobId, JobState, NewJob, Operation, ResultKind, ResultRow};
use salesforce::{ApiUsage, ApiVersion, Class, Client, Clock, Delivery, Error, Retry, RetryPolicy, Session, SessionCache, SessionIssuer};
use support::{Script, Step, answer, http};

const JOB: &str = r#"{"id":"7505fEXAMPLE4C2AAM","operation":"insert","object":"Account","state":"Open"}"#;
const CLOSED: &str = r#"{"id":"7505fEXAMPLE4C2AAM","operation":"insert","object":"Account","state":"UploadComplete"}"#;
const COMPLETE: &str = r#"{"id":"7505fEXAMPLE4C2AAM","operation":"insert","object":"Account","state":"JobComplete"}"#;
const BUSY: &str = r#"[{"errorCode":"SERVER_UNAVAILABLE","message":"try later"}]"#;
const EXPIRED: &str = r#"[{"errorCode":"INVALID_SESSION_ID","message":"Session expired or invalid"}]"#;

/// A clock that jumps, and writes down how far.
#[derive(Default)]
struct Jumping(Mutex<Vec<Duration>>);

#[async_trait]
impl Clock for Jumping {
    fn now(&self) -> Duration {
        self.0.lock().unwrap().iter().sum()
    }

    async fn sleep(&self, wait: Duration) {
        self.0.lock().unwrap().push(wait);
    }
}

/// Issues token0, token1, …
struct Numbered(u16, Mutex<u32>);

#[async_trait]
impl SessionIssuer for Numbered {
    async fn issue(&self) -> Result<Session, Error> {
        let mut next = self.1.lock().unwrap();
        let token = format!("token{next}");
        *next += 1;
        Ok(Session { access_token: token.into(), instance_url: format!("https://127.0.0.1:{}", self.0).parse().unwrap() })
    }
}

fn client_of(port: u16, clock: Arc<Jumping>) -> Client {
    let retry = Retry::new(RetryPolicy::default(), clock, Arc::new(|| 0.0));
    Client::with(http(), Arc::new(SessionCache::new(Numbered(port, Mutex::new(0)))), ApiVersion::new(66), retry)
}

fn client(script: &Script) -> Client {
    client_of(script.port, Arc::default())
}

fn job() -> JobId {
    "7505fEXAMPLE4C2AAM".parse().unwrap()
}

fn insert() -> NewJob {
    NewJob { object: "Account".into(), operation: Operation::Insert }
}

fn csv() -> futures::stream::Iter<std::vec::IntoIter<Result<Bytes, std::io::Error>>> {
    futures::stream::iter(vec![Ok(Bytes::from_static(b"Name\n")), Ok(Bytes::from_static(b"Ada\n"))])
}

#[tokio::test]
async fn a_read_is_repeated_with_growing_waits_until_it_succeeds() {
    let script = Script::play([answer(503, BUSY), Step::Vanish, Step::BreakOff("{".into()), answer(200, JOB)]).await;
    let clock = Arc::<Jumping>::default();
    assert_eq!(client_of(script.port, clock.clone()).job(&job()).await.unwrap().state, JobState::Open);
    assert_eq!(*clock.0.lock().unwrap(), [250, 500, 1000].map(Duration::from_millis));
    assert_eq!(script.finish()[3].line, "GET /services/data/v66.0/jobs/ingest/7505fEXAMPLE4C2AAM");
}

#[tokio::test]
async fn a_read_gives_up_with_salesforces_own_words() {
    let script = Script::play(vec![answer(503, BUSY); 6]).await;
    let error = client(&script).job(&job()).await.unwrap_err();
    assert_eq!(error.to_string(), "read the bulk job: salesforce answered 503 SERVER_UNAVAILABLE: try later");
    assert_eq!((error.class(), error.delivery()), (Class::Transient, Delivery::Answered));
    script.finish();
}

#[tokio::test]
async fn the_server_decides_how_long_we_wait() {
    let busy = Step::Answer { status: 503, headers: vec![("retry-after", "7")], body: BUSY.into() };
    let script = Script::play([busy, answer(200, JOB)]).await;
    let clock = Arc::<Jumping>::default();
    client_of(script.port, clock.clone()).job(&job()).await.unwrap();
    assert_eq!(*clock.0.lock().unwrap(), [Duration::from_secs(7)]);
    script.finish();
}

#[tokio::test]
async fn a_lost_answer_to_creating_a_job_costs_an_orphan_and_no_more() {
    let script = Script::play([Step::Vanish, answer(200, JOB)]).await;
    assert_eq!(client(&script).create_job(&insert()).await.unwrap().id, job());
    let seen = script.finish();
    assert_eq!(seen[0].body, seen[1].body);
    assert!(seen[0].body.contains(r#""operation":"insert""#) && seen[0].body.contains(r#""lineEnding":"LF""#));
}

#[tokio::test]
async fn an_upload_is_measured_and_sent_once() {
    let script = Script::play([answer(201, "")]).await;
    let uploaded = client(&script).upload(&job(), csv).await.unwrap();
    assert_eq!(uploaded.bytes, 9);
    let seen = script.finish();
    assert_eq!(seen[0].body, "Name\nAda\n");
    assert_eq!(seen[0].line, "PUT /services/data/v66.0/jobs/ingest/7505fEXAMPLE4C2AAM/batches");
}

#[tokio::test]
async fn a_lost_answer_to_an_upload_is_never_answered_with_a_second_upload() {
    for step in [Step::Vanish, answer(503, BUSY), answer(500, "oops")] {
        let unknown = matches!(step, Step::Vanish);
        let script = Script::play([step]).await;
        let error = client(&script).upload(&job(), csv).await.unwrap_err();
        assert_eq!(error.delivery(), if unknown { Delivery::Unknown } else { Delivery::Answered });
        script.finish();
    }
}

#[tokio::test]
async fn a_lost_answer_to_the_commit_is_never_answered_with_a_second_commit() {
    for step in [Step::Vanish, answer(503, BUSY)] {
        let script = Script::play([step]).await;
        assert_eq!(client(&script).close_job(&job()).await.unwrap_err().class(), Class::Transient);
        assert_eq!(script.finish()[0].body, r#"{"state":"UploadComplete"}"#);
    }
}

#[tokio::test]
async fn what_never_left_is_sent_again_even_if_it_is_a_commit() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let clock = Arc::<Jumping>::default();
    let error = client_of(closed, clock.clone()).close_job(&job()).await.unwrap_err();
    assert_eq!(error.delivery(), Delivery::Unsent);
    assert_eq!(clock.0.lock().unwrap().len(), 5, "six tries, five waits");
    assert_eq!(error.reason(), "Unreachable");
}

#[tokio::test]
async fn a_refused_session_is_renewed_once_and_the_call_repeated_with_the_new_one() {
    let script = Script::play([answer(401, EXPIRED), answer(201, "")]).await;
    client(&script).upload(&job(), csv).await.unwrap();
    let seen = script.finish();
    assert_eq!((seen[0].authorization.as_str(), seen[1].authorization.as_str()), ("Bearer token0", "Bearer token1"));
    assert_eq!(seen[1].body, "Name\nAda\n");
}

#[tokio::test]
async fn a_session_refused_twice_is_an_error_that_holds_no_token() {
    let script = Script::play([answer(401, EXPIRED), answer(401, EXPIRED)]).await;
    let error = client(&script).close_job(&job()).await.unwrap_err();
    assert_eq!((error.class(), error.code()), (Class::Auth, Some("INVALID_SESSION_ID")));
    assert!(!format!("{error} {error:?}").contains("token0"));
    script.finish();
}

#[tokio::test]
async fn calls_side_by_side_share_one_renewal() {
    let mut steps = vec![answer(200, JOB)];
    steps.extend(vec![answer(401, EXPIRED); 4]);
    steps.extend(vec![answer(200, JOB); 4]);
    let script = Script::play(steps).await;
    let client = client(&script);
    client.job(&job()).await.unwrap();
    let id = job();
    let answers = futures::future::join_all((0..4).map(|_| client.job(&id))).await;
    assert!(answers.iter().all(Result::is_ok));
    let seen = script.finish();
    assert!(seen.iter().all(|request| request.authorization != "Bearer token2"), "one renewal for all four");
}

#[tokio::test]
async fn an_exhausted_quota_is_reported_at_once() {
    let script = Script::play([answer(403, r#"[{"errorCode":"REQUEST_LIMIT_EXCEEDED","message":"TotalRequests Limit exceeded."}]"#)]).await;
    assert_eq!(client(&script).job(&job()).await.unwrap_err().class(), Class::Quota);
    script.finish();
}

#[tokio::test]
async fn a_job_that_cannot_be_made_is_no_spoiled_job() {
    let body = r#"[{"errorCode":"INVALIDJOB","message":"InvalidJob : Field name provided, website does not match an External ID"}]"#;
    let script = Script::play([answer(400, body), answer(400, body)]).await;
    let client = client(&script);
    assert_eq!(client.create_job(&insert()).await.unwrap_err().class(), Class::Permanent);
    assert_eq!(client.close_job(&job()).await.unwrap_err().class(), Class::SpoiledJob);
    script.finish();
}

#[tokio::test]
async fn aborting_a_job_that_is_over_tells_its_state() {
    let refused =
        answer(400, r#"[{"errorCode":"INVALIDJOBSTATE","message":"InvalidJobState : Aborting already Completed Job not allowed"}]"#);
    let script = Script::play([refused.clone(), answer(200, COMPLETE), refused, answer(200, CLOSED)]).await;
    let client = client(&script);
    assert_eq!(client.abort_job(&job()).await.unwrap().state, JobState::JobComplete);
    assert_eq!(client.abort_job(&job()).await.unwrap_err().class(), Class::SpoiledJob);
    script.finish();
}

#[tokio::test]
async fn deleting_a_job_that_is_gone_is_done() {
    let gone = answer(404, r#"[{"errorCode":"NOT_FOUND","message":"The requested resource does not exist"}]"#);
    let script = Script::play([Step::Vanish, gone]).await;
    client(&script).delete_job(&job()).await.unwrap();
    script.finish();
}

#[tokio::test]
async fn results_that_break_off_end_in_an_error_and_not_early() {
    let body = "\"sf__Id\",\"sf__Created\",Name\n\"0018c00002DJIpJAAX\",\"true\",\"Ada\"\n";
    let script = Script::play([Step::BreakOff(body.into())]).await;
    let mut reader = client(&script).results(&job(), ResultKind::Successful).await.unwrap();
    let mut row = ResultRow::default();
    let end = loop {
        match reader.next(&mut row).await {
            Ok(true) => {}
            end => break end,
        }
    };
    assert_eq!(end.unwrap_err().class(), Class::Transient);
    script.finish();
}

#[tokio::test]
async fn results_are_checked_against_the_number_salesforce_names_and_never_taken_in_part() {
    let body = "sf__Id,sf__Created,Name\n001,true,Ada\n";
    let three = Step::Answer { status: 200, headers: vec![("Sforce-NumberOfRecords", "3")], body: body.into() };
    let part = Step::Answer { status: 200, headers: vec![("Sforce-Locator", "MTAw")], body: body.into() };
    let script = Script::play([three, part]).await;
    let client = client(&script);
    let mut reader = client.results(&job(), ResultKind::Successful).await.unwrap();
    let mut row = ResultRow::default();
    assert!(reader.next(&mut row).await.unwrap());
    assert!(reader.next(&mut row).await.is_err());
    assert!(client.results(&job(), ResultKind::Successful).await.is_err());
    script.finish();
}

#[tokio::test]
async fn usage_follows_the_newest_answer() {
    let used = Step::Answer { status: 200, headers: vec![("Sforce-Limit-Info", "api-usage=18/5000")], body: JOB.into() };
    let script = Script::play([used, answer(200, JOB)]).await;
    let client = client(&script);
    assert_eq!(client.usage(), None);
    client.job(&job()).await.unwrap();
    client.job(&job()).await.unwrap();
    assert_eq!(client.usage(), Some(ApiUsage { used: 18, max: 5000 }));
    script.finish();
}

#[tokio::test]
async fn a_query_follows_its_pages_and_only_on_the_instance() {
    let first = r#"{"totalSize":2,"done":false,"records":[{"Name":"Ada"}],"nextRecordsUrl":"/services/data/v66.0/query/01g-2000"}"#;
    let second = r#"{"totalSize":2,"done":true,"records":[{"Name":"Bob"}]}"#;
    let away = r#"{"totalSize":2,"done":false,"records":[],"nextRecordsUrl":"//evil.example/services/data/x"}"#;
    let script = Script::play([answer(200, first), Step::Vanish, answer(200, second), answer(200, away)]).await;
    let client = client(&script);
    let mut records = client.query::<serde_json::Value>("SELECT Name FROM Account WHERE Name = 'a&b'").await.unwrap();
    assert_eq!(records.total(), 2);
    let mut names = Vec::new();
    while let Some(record) = records.next().await.unwrap() {
        names.push(record["Name"].as_str().unwrap().to_owned());
    }
    assert_eq!(names, ["Ada", "Bob"]);
    let mut records = client.query::<serde_json::Value>("SELECT Name FROM Account").await.unwrap();
    assert!(records.next().await.is_err());
    let seen = script.finish();
    assert_eq!(seen[0].line, "GET /services/data/v66.0/query?q=SELECT+Name+FROM+Account+WHERE+Name+%3D+%27a%26b%27");
    assert_eq!(seen[2].line, "GET /services/data/v66.0/query/01g-2000");
}

#[tokio::test]
async fn an_error_never_shows_the_query() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let Err(error) =
        client_of(closed, Arc::default()).query::<serde_json::Value>("SELECT Id FROM Contact WHERE Email = 'ada@acme.example'").await
    else {
        panic!("nobody listens there")
    };
    assert!(!format!("{error} {error:?}").contains("ada"), "{error:?}");
}

/// An answer of a mebibyte or of a gibibyte: what is read of it is what such an answer may have, packed or not.
#[tokio::test]
async fn an_answer_without_end_is_refused_at_its_limit() {
    let zeros = {
        use std::io::Write as _;
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packed.write_all(&vec![b' '; 64 << 20]).unwrap();
        packed.finish().unwrap()
    };
    assert!(zeros.len() < 1 << 17, "control: it is a bomb: {} bytes", zeros.len());
    let plain = Step::Endless { headers: "", part: vec![b' '; 1 << 16] };
    let packed = Step::Endless { headers: "content-encoding: gzip\r\n", part: zeros };
    for step in [plain, packed] {
        let script = Script::play([step.clone(), step.clone(), step]).await;
        let client = client(&script);
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
        let before = memory("VmRSS:");
        let user = client.user_info().await.unwrap_err();
        assert!(user.to_string().contains("longer than 65536 bytes"), "{user}");
        let job = client.job(&job()).await.unwrap_err();
        assert!(job.to_string().contains("longer than 1048576 bytes"), "{job}");
        let describe = client.describe("Account").await.unwrap_err();
        assert!(describe.to_string().contains("longer than 16777216 bytes"), "{describe}");
        let grown = memory("VmHWM:").saturating_sub(before);
        assert!(grown < 48 << 20, "{grown} bytes were kept");
        assert_eq!((user.class(), user.reason()), (Class::Permanent, "AnswerUnreadable"));
    }
}

/// A line of this process' own memory, in bytes.
fn memory(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let size = status.lines().find_map(|text| text.strip_prefix(line)).unwrap();
    size.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
