//! Tokens, SOAP and faults over real HTTP.

use std::time::Duration;

use crate::support::Session;
use salesforce_emulator::{Action, Client, Emulator, Fault};
use serde_json::{Value, json};

async fn token(session: &Session, form: &[(&str, &str)]) -> (u16, Value) {
    let answer = session.http.post(format!("{}/services/oauth2/token", session.running.url)).form(form).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn web_client() -> Client {
    Client { redirect_uris: vec!["https://console.example/cb".into()], rotate_refresh_tokens: true, ..Client::random() }
}

#[tokio::test]
async fn the_web_server_flow_needs_its_verifier_and_rotates_refresh_tokens() {
    let session = Session::with(Emulator::builder().client(web_client())).await;
    let (id, secret) = (session.running.client_id.clone(), session.running.client_secret.clone());
    let code = async |redirect: &str| {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("response_type", "code"),
                ("client_id", &id),
                ("redirect_uri", redirect),
                ("state", "x y"),
                ("scope", "api refresh_token"),
            ])
            .append_pair("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")
            .finish();
        session.http.get(format!("{}/services/oauth2/authorize?{query}", session.running.url)).send().await.unwrap()
    };
    assert_eq!(code("https://elsewhere.example/").await.status(), 400);
    let fresh = async || {
        let answer = code("https://console.example/cb").await;
        let location = url::Url::parse(answer.headers()["location"].to_str().unwrap()).unwrap();
        let values: std::collections::HashMap<String, String> = location.query_pairs().into_owned().collect();
        assert_eq!(values["state"], "x y");
        values["code"].clone()
    };
    let exchange = async |code: &str, verifier: Option<&str>| {
        let mut form = vec![("grant_type", "authorization_code"), ("code", code), ("client_id", &id), ("client_secret", &secret)];
        form.push(("redirect_uri", "https://console.example/cb"));
        form.extend(verifier.map(|verifier| ("code_verifier", verifier)));
        token(&session, &form).await
    };
    assert_eq!(exchange(&fresh().await, Some("wrong")).await.1["error"], "invalid_request");
    assert_eq!(exchange(&fresh().await, None).await.1["error"], "invalid_grant");
    let code = fresh().await;
    let (status, first) = exchange(&code, Some("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")).await;
    assert_eq!((status, first["token_type"].as_str()), (200, Some("Bearer")));
    assert_eq!(exchange(&code, Some("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")).await.0, 400);

    let refresh = async |old: &str| {
        token(&session, &[("grant_type", "refresh_token"), ("refresh_token", old), ("client_id", &id), ("client_secret", &secret)]).await
    };
    let old = first["refresh_token"].as_str().unwrap();
    let (_, second) = refresh(old).await;
    assert_eq!(refresh(old).await.1, json!({"error": "invalid_grant", "error_description": "expired access/refresh token"}));
    let new = second["refresh_token"].as_str().unwrap();
    let revoke =
        async || session.http.post(format!("{}/services/oauth2/revoke", session.running.url)).form(&[("token", new)]).send().await.unwrap();
    assert_eq!(revoke().await.status(), 200);
    assert!(revoke().await.text().await.unwrap().starts_with("error=invalid_token"));
    let live = session.running.tokens().into_iter().filter(|token| token.active && token.scope.contains("refresh_token")).count();
    assert_eq!(live, 0);
}

#[tokio::test]
async fn credentials_that_are_wrong_or_not_allowed_are_refused() {
    let session = Session::start().await;
    let (id, secret) = (session.running.client_id.as_str(), session.running.client_secret.as_str());
    let error = async |form: &[(&str, &str)]| token(&session, form).await.1["error"].as_str().unwrap().to_owned();
    assert_eq!(error(&[("grant_type", "client_credentials"), ("client_id", id), ("client_secret", "no")]).await, "invalid_client");
    assert_eq!(error(&[("grant_type", "client_credentials"), ("client_id", "no"), ("client_secret", secret)]).await, "invalid_client_id");
    assert_eq!(error(&[("grant_type", "nonsense")]).await, "unsupported_grant_type");
    let form = [
        ("grant_type", "password"),
        ("username", session.running.username.as_str()),
        ("password", &session.running.password),
        ("client_id", id),
        ("client_secret", secret),
    ];
    assert_eq!(error(&form).await, "invalid_grant", "off unless switched on");
}

#[tokio::test]
async fn client_credentials_work_on_the_my_domain_host_only() {
    let session = Session::with(Emulator::builder().plain_http()).await;
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", &session.running.client_id),
        ("client_secret", &session.running.client_secret),
    ];
    for (host, status) in [("login.emulator.test", 400), ("acme.my.emulator.test", 200)] {
        let http = reqwest::Client::builder().resolve(host, session.running.address).build().unwrap();
        let url = format!("http://{host}:{}/services/oauth2/token", session.running.address.port());
        let answer = http.post(url).form(&form).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{host}");
    }
}

#[tokio::test]
async fn sessions_end_by_time_and_introspection_tells() {
    let session = Session::start().await;
    let (id, secret) = (session.running.client_id.as_str(), session.running.client_secret.as_str());
    let active = async || {
        let form = [("token", session.token.as_str()), ("client_id", id), ("client_secret", secret)];
        let answer = session.http.post(format!("{}/services/oauth2/introspect", session.running.url)).form(&form).send().await.unwrap();
        answer.json::<Value>().await.unwrap()["active"].as_bool().unwrap()
    };
    assert!(active().await);
    assert_eq!(session.send(session.http.get(format!("{}/services/oauth2/userinfo", session.running.url))).await.0, 200);
    session.running.advance_clock(Duration::from_secs(3 * 3600));
    assert!(!active().await);
    assert_eq!(session.get("limits").await.1[0]["errorCode"], "INVALID_SESSION_ID");
    let (status, text) = session.send(session.http.get(format!("{}/services/oauth2/userinfo", session.running.url))).await;
    assert_eq!((status, text), (403, json!("Bad_OAuth_Token")));
}

#[tokio::test]
async fn soap_undelete_brings_a_row_and_its_children_back() {
    let session = Session::start().await;
    let account = session.post("sobjects/Account", json!({"Name": "A"})).await.1["id"].as_str().unwrap().to_owned();
    session.post("sobjects/Contact", json!({"LastName": "C", "AccountId": account})).await;
    session.send(session.http.delete(session.url(&format!("sobjects/Account/{account}")))).await;
    assert_eq!((session.running.count("Account"), session.running.count("Contact")), (0, 0));
    let soap = async |operation: &str| {
        let body = format!(
            "<s:Envelope xmlns:s='http://schemas.xmlsoap.org/soap/envelope/'><s:Header><u:SessionHeader xmlns:u='urn:partner.soap.sforce.com'>\
             <u:sessionId>{}</u:sessionId></u:SessionHeader></s:Header><s:Body>{operation}</s:Body></s:Envelope>",
            session.token
        );
        let answer = session.http.post(format!("{}/services/Soap/u/64.0/", session.running.url)).body(body).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (status, text) = soap(&format!("<undelete><ids>{account}</ids><ids>0055e0000000001</ids></undelete>")).await;
    assert_eq!(status, 200);
    assert!(text.contains(&format!("<id>{account}</id><success>true</success>")), "{text}");
    assert!(text.contains("<statusCode>CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY</statusCode>"), "{text}");
    assert_eq!((session.running.count("Account"), session.running.count("Contact")), (1, 1));
    assert!(soap("<getUserInfo/>").await.1.contains("<userName>integration@emulator.invalid</userName>"));
    assert!(soap("<describeGlobal/>").await.1.contains("<sf:exceptionCode>UNSUPPORTED_API_OPERATION</sf:exceptionCode>"));
    assert_eq!(soap("<logout/>").await.0, 200);
    let (status, text) = soap("<getUserInfo/>").await;
    assert!(status == 500 && text.contains("sf:INVALID_SESSION_ID"), "{text}");
}

#[tokio::test]
async fn faults_happen_when_asked_for_and_only_then() {
    let session = Session::start().await;
    session.running.inject(Fault::new(Action::DropBefore).on("POST", "*/sobjects/Account"));
    let create =
        async || session.http.post(session.url("sobjects/Account")).bearer_auth(&session.token).json(&json!({"Name": "A"})).send().await;
    assert!(create().await.is_err());
    assert_eq!(session.running.count("Account"), 0);
    session.running.inject(Fault::new(Action::DropAfter).on("POST", "*/sobjects/Account"));
    assert!(create().await.is_err());
    assert_eq!(session.running.count("Account"), 1);
    session.running.inject(Fault::new(Action::Status { status: 503, code: None, message: None }).on("GET", "*/limits"));
    assert_eq!((session.get("limits").await.0, session.get("limits").await.0), (503, 200));
    let limits = session.http.get(session.url("limits")).bearer_auth(&session.token);
    session.running.inject(Fault::new(Action::CutBody { bytes: 10 }).on("GET", "*/limits"));
    assert!(limits.try_clone().unwrap().send().await.unwrap().text().await.is_err());
    session.running.inject(Fault::new(Action::ShortenBody { bytes: 10 }).on("GET", "*/limits"));
    assert_eq!(limits.send().await.unwrap().text().await.unwrap().len(), 10);
    session.running.inject(Fault::new(Action::ExpireSession).on("GET", "*/limits"));
    assert_eq!(session.get("limits").await.0, 401);
    assert!(session.running.pending_faults().is_empty());
    assert_eq!(session.running.requests().iter().filter(|request| request.status == 0).count(), 2);
}

#[tokio::test]
async fn locks_hit_rows_and_batches_run_out_of_retries() {
    let session = Session::start().await;
    let insert = json!({"object": "Account", "operation": "insert"});
    session.running.inject(Fault::new(Action::LockRows { object: "Account".into() }).after(1).times(2));
    let job = session.run(insert.clone(), "Name\nA\nB\nC\nD\n").await;
    assert_eq!((job.created().len(), job.errors().len()), (2, 2));
    assert!(job.errors()[0].starts_with("UNABLE_TO_LOCK_ROW:unable to obtain exclusive access"));
    session.running.inject(Fault::new(Action::RetryBatch { object: "Account".into(), retries: 3 }));
    let job = session.run(insert.clone(), "Name\nA\n").await;
    assert_eq!((job.info["state"].as_str(), &job.info["retries"]), (Some("JobComplete"), &json!(3)));
    session.running.inject(Fault::new(Action::RetryBatch { object: "Account".into(), retries: 20 }).after(1));
    let rows: String = (0..10_001).map(|n| format!("A{n}\n")).collect();
    let job = session.run(insert, &format!("Name\n{rows}")).await;
    assert_eq!(job.info["state"], "Failed");
    assert_eq!((job.created().len(), job.unprocessed.len() - 1), (10_000, 1));
}

#[tokio::test]
async fn the_testers_door_is_shut_unless_opened() {
    let shut = Session::start().await;
    assert_eq!(shut.send(shut.http.get(format!("{}/emulator/jobs", shut.running.url))).await.0, 404);
    let open = Session::with(Emulator::builder().admin()).await;
    let url = |path: &str| format!("{}/emulator/{path}", open.running.url);
    open.run(json!({"object": "Account", "operation": "insert"}), "Name,icao__c\nB,EDDM\nA,EDDF\n").await;
    let jobs = open.send(open.http.get(url("jobs"))).await.1;
    assert_eq!((&jobs[0]["state"], &jobs[0]["uploads"], &jobs[0]["processed"]), (&json!("JobComplete"), &json!(1), &json!(2)));
    let digest = open.send(open.http.get(url("digest/Account?fields=icao__c,Name"))).await.1;
    assert_eq!(digest["count"], 2);
    assert_eq!(open.running.digest("Account", &["icao__c", "Name"]).unwrap().1, digest["sha256"].as_str().unwrap());
    assert_eq!(open.send(open.http.get(url("rows/Account?fields=icao__c"))).await.1, json!([["EDDM"], ["EDDF"]]));
    let fault = json!({"action": "delay", "milliseconds": 1, "path": "*"});
    assert_eq!(open.send(open.http.post(url("faults")).json(&fault)).await.0, 201);
    assert_eq!(open.send(open.http.get(url("faults"))).await.1[0]["action"], "delay");
    assert_eq!(open.send(open.http.get(url("tokens"))).await.1[0]["token"], Value::Null, "tokens are counted, not shown");
}

#[tokio::test]
async fn a_request_that_is_held_goes_on_once_the_faults_are_removed() {
    let session = Session::with(Emulator::builder().admin()).await;
    let url = format!("{}/emulator/faults", session.running.url);
    let hour = json!({"action": "delay", "milliseconds": 3_600_000, "path": "*/limits"});
    assert_eq!(session.send(session.http.post(&url).json(&hour)).await.0, 201);
    let release = async {
        while session.send(session.http.get(&url)).await.1 != json!([]) {
            tokio::task::yield_now().await;
        }
        session.send(session.http.delete(&url)).await.0
    };
    let both = async { tokio::join!(session.get("limits"), release) };
    let ((status, _), released) = tokio::time::timeout(Duration::from_secs(60), both).await.expect("the request is held no longer");
    assert_eq!((status, released), (200, 204));
}

#[tokio::test]
async fn drained_rows_are_checked_and_counted_but_not_kept() {
    let session = Session::with(Emulator::builder().config(|config| config.drain = true)).await;
    let job = session.run(json!({"object": "Account", "operation": "insert"}), "Name\nA\nB\n\"\"\n").await;
    assert_eq!((job.created().len(), session.running.count("Account")), (2, 2));
    assert!(session.running.rows("Account", &["Name"]).is_empty());
}

#[tokio::test]
async fn query_jobs_page_by_locator() {
    let session = Session::start().await;
    session.run(json!({"object": "Account", "operation": "insert"}), "Name,AnnualRevenue\nA,5\n\"B,\"\"b\",\nC,1\n").await;
    let create = json!({"operation": "query", "query": "SELECT Name, AnnualRevenue, Owner.Username FROM Account ORDER BY Name"});
    let (status, job) = session.post("jobs/query//", create).await;
    assert_eq!((status, job["state"].as_str()), (200, Some("UploadComplete")));
    let path = format!("jobs/query/{}", job["id"].as_str().unwrap());
    assert_eq!(session.get(&path).await.1["state"], "InProgress");
    assert_eq!(session.get(&path).await.1["numberRecordsProcessed"], 3);
    let (mut locator, mut pages) = (String::new(), Vec::new());
    while locator != "null" {
        let url = session.url(&format!("{path}/results/?maxRecords=2&locator={locator}"));
        let url = if locator.is_empty() { url.replace("&locator=", "") } else { url };
        let answer = session.http.get(url).bearer_auth(&session.token).send().await.unwrap();
        locator = answer.headers()["sforce-locator"].to_str().unwrap().to_owned();
        assert!(answer.headers().contains_key("sforce-numberofrecords"));
        pages.push(answer.text().await.unwrap());
    }
    let user = "integration@emulator.invalid";
    assert_eq!(pages[0], format!("\"Name\",\"AnnualRevenue\",\"Owner.Username\"\n\"A\",\"5.0\",\"{user}\"\n\"B,\"\"b\",\"\",\"{user}\"\n"));
    assert_eq!(pages.len(), 2);
    let old = session.http.get(format!("{}/services/data/v60.0/{path}/results", session.running.url));
    assert_eq!(session.send(old).await.0, 409);
    let refused =
        session.post("jobs/query", json!({"operation": "query", "query": "SELECT Id, (SELECT Id FROM Contacts) FROM Account"})).await;
    assert!(refused.1[0]["message"].as_str().unwrap().contains("Aggregate Relationships not supported in Bulk Query"));
    assert_eq!(session.send(session.http.delete(session.url(&path))).await.0, 204);
    assert_eq!(session.get(&path).await.0, 404);
}
