//! A client of the emulator as small as the tests need it.

use reqwest::{Client, RequestBuilder};
use salesforce_emulator::{Emulator, Running};
use serde_json::{Value, json};

pub(crate) struct Session {
    pub(crate) running: Running,
    pub(crate) http: Client,
    pub(crate) token: String,
}

pub(crate) struct Finished {
    pub(crate) info: Value,
    pub(crate) success: Vec<Vec<String>>,
    pub(crate) failed: Vec<Vec<String>>,
    pub(crate) unprocessed: Vec<Vec<String>>,
}

impl Finished {
    pub(crate) fn created(&self) -> Vec<String> {
        self.success[1..].iter().map(|row| row[1].clone()).collect()
    }

    pub(crate) fn errors(&self) -> Vec<String> {
        self.failed[1..].iter().map(|row| row[1].clone()).collect()
    }
}

pub(crate) fn csv_rows(text: &str) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
}

impl Session {
    pub(crate) async fn start() -> Self {
        Self::with(Emulator::builder()).await
    }

    pub(crate) async fn with(emulator: Emulator) -> Self {
        let running = emulator.start().await.unwrap();
        let mut http = Client::builder();
        if let Some(ca) = &running.ca_pem {
            http = http.tls_certs_only([reqwest::Certificate::from_pem(ca.as_bytes()).unwrap()]);
        }
        let http = http.redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { running, http, token: String::new() }.renew().await
    }

    /// The same with a fresh access token.
    pub(crate) async fn renew(mut self) -> Self {
        let form =
            [("grant_type", "client_credentials"), ("client_id", &self.running.client_id), ("client_secret", &self.running.client_secret)];
        let request = self.http.post(format!("{}/services/oauth2/token", self.running.url)).form(&form);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        self.token = answer["access_token"].as_str().unwrap().to_owned();
        self
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}/services/data/v66.0/{path}", self.running.url)
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> (u16, Value) {
        let answer = request.bearer_auth(&self.token).send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.send(self.http.get(self.url(path))).await
    }

    pub(crate) async fn query(&self, soql: &str) -> (u16, Value) {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("q", soql).finish();
        self.get(&format!("query?{query}")).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.send(self.http.post(self.url(path)).json(&body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> (u16, Value) {
        self.send(self.http.patch(self.url(path)).json(&body)).await
    }

    pub(crate) async fn create(&self, body: Value) -> Value {
        let (status, job) = self.post("jobs/ingest", body).await;
        assert_eq!(status, 200, "{job}");
        job
    }

    pub(crate) async fn put(&self, id: &str, data: &str) -> (u16, Value) {
        let request =
            self.http.put(self.url(&format!("jobs/ingest/{id}/batches"))).header("content-type", "text/csv").body(data.to_owned());
        self.send(request).await
    }

    pub(crate) async fn state(&self, id: &str, state: &str) -> (u16, Value) {
        self.patch(&format!("jobs/ingest/{id}"), json!({"state": state})).await
    }

    pub(crate) async fn job(&self, id: &str) -> Value {
        self.get(&format!("jobs/ingest/{id}")).await.1
    }

    pub(crate) async fn wait(&self, id: &str) -> Value {
        for _ in 0..2_000 {
            let job = self.job(id).await;
            if ["JobComplete", "Failed", "Aborted"].contains(&job["state"].as_str().unwrap()) {
                return job;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("job {id} did not end");
    }

    pub(crate) async fn results(&self, id: &str, set: &str) -> String {
        match self.get(&format!("jobs/ingest/{id}/{set}")).await {
            (200, Value::String(text)) => text,
            other => panic!("{set}: {other:?}"),
        }
    }

    pub(crate) async fn delete_job(&self, id: &str) -> u16 {
        self.send(self.http.delete(self.url(&format!("jobs/ingest/{id}")))).await.0
    }

    pub(crate) async fn run(&self, body: Value, data: &str) -> Finished {
        let job = self.create(body).await;
        let id = job["id"].as_str().unwrap();
        assert_eq!(self.put(id, data).await.0, 201);
        assert_eq!(self.state(id, "UploadComplete").await.0, 200);
        let info = self.wait(id).await;
        Finished {
            info,
            success: csv_rows(&self.results(id, "successfulResults").await),
            failed: csv_rows(&self.results(id, "failedResults").await),
            unprocessed: csv_rows(&self.results(id, "unprocessedrecords").await),
        }
    }
}
