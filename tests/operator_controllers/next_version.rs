//! A rehearsal of an API version that differs: ImportJob gets a v1beta1, callers of both work beside one another, what is stored is moved over, and the
//! old version goes. The steps are those of docs/developing/api-versions.md. Of the new version only the difference is made up.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{Method, Request, StatusCode};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use testkit::wait_for;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::support::{SOON, UPLOAD, World, job_yaml};

const GROUP: &str = "dataimporter.io";
const OLD: &str = "v1alpha1";
const NEW: &str = "v1beta1";
/// Where the old version carries what only the new one can say.
const CARRIED: &str = "dataimporter.io/v1beta1-priority";

/// In the new version `suspend: true` is `state: Suspended`, and a job has a `priority`.
fn converted(mut object: Value, to: &str) -> Value {
    let (spec, metadata) = match object.as_object_mut() {
        Some(object) => (object["spec"].take(), object["metadata"].take()),
        None => return object,
    };
    let (mut spec, mut metadata) = (spec, metadata);
    if let (Some(spec), Some(metadata)) = (spec.as_object_mut(), metadata.as_object_mut()) {
        if to.ends_with(NEW) {
            if let Some(suspend) = spec.remove("suspend") {
                spec.insert("state".into(), json!(if suspend == json!(true) { "Suspended" } else { "Active" }));
            }
            let annotations = metadata.get_mut("annotations").and_then(Value::as_object_mut);
            if let Some(priority) = annotations.and_then(|all| all.remove(CARRIED)).and_then(|text| text.as_str()?.parse::<i64>().ok()) {
                spec.insert("priority".into(), json!(priority));
            }
        } else {
            if let Some(state) = spec.remove("state") {
                spec.insert("suspend".into(), json!(state == "Suspended"));
            }
            if let Some(priority) = spec.remove("priority") {
                let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
                annotations[CARRIED] = json!(priority.to_string());
            }
        }
    }
    object["apiVersion"] = json!(to);
    object["spec"] = spec;
    object["metadata"] = metadata;
    object
}

/// What the API server asks about each object that is stored in another version than it is asked for.
struct Converter {
    port: u16,
    ca: String,
    works: Arc<AtomicBool>,
}

struct Tls {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            if let Ok((stream, address)) = self.tcp.accept().await
                && let Ok(stream) = self.acceptor.accept(stream).await
            {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}

impl Converter {
    async fn start() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![leaf.der().clone()], key).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, works) = (tcp.local_addr().unwrap().port(), Arc::new(AtomicBool::new(true)));
        let router = Router::new().route("/convert", post(convert)).with_state(works.clone());
        let tls = Tls { tcp, acceptor: TlsAcceptor::from(Arc::new(config)) };
        tokio::spawn(async move { axum::serve(tls, router).await });
        Self { port, ca: authority.pem(), works }
    }
}

async fn convert(State(works): State<Arc<AtomicBool>>, Json(review): Json<Value>) -> Result<Json<Value>, StatusCode> {
    if !works.load(Ordering::SeqCst) {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    let request = &review["request"];
    let to = request["desiredAPIVersion"].as_str().unwrap_or_default();
    let objects: Vec<Value> = request["objects"].as_array().into_iter().flatten().map(|object| converted(object.clone(), to)).collect();
    let response = json!({"uid": request["uid"], "convertedObjects": objects, "result": {"status": "Success"}});
    Ok(Json(json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview", "response": response})))
}

/// The definition with both versions, one of them stored, and those that are served.
fn definition(converter: &Converter, stored: &str, served: &[&str]) -> Value {
    let crd = api::crds::all().into_iter().find(|crd| crd.spec.names.kind == "ImportJob").unwrap();
    let mut crd = serde_json::to_value(crd).unwrap();
    let old = crd["spec"]["versions"][0].clone();
    let mut new = old.clone();
    new["name"] = json!(NEW);
    let columns = new["additionalPrinterColumns"].as_array_mut().unwrap();
    columns.retain(|column| column["jsonPath"] != ".spec.suspend");
    let spec = new["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"].as_object_mut().unwrap();
    spec.remove("suspend").unwrap();
    spec.insert("state".into(), json!({"type": "string", "enum": ["Active", "Suspended"]}));
    spec.insert("priority".into(), json!({"type": "integer", "minimum": 0, "maximum": 9}));
    let mut versions = [old, new];
    for version in &mut versions {
        let name = version["name"].as_str().unwrap().to_owned();
        version["storage"] = json!(name == stored);
        version["served"] = json!(served.contains(&name.as_str()));
    }
    crd["spec"]["versions"] = json!(versions);
    let client = json!({"url": format!("https://127.0.0.1:{}/convert", converter.port), "caBundle": BASE64_STANDARD.encode(&converter.ca)});
    crd["spec"]["conversion"] = json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": client}});
    crd
}

/// A caller of one version.
struct Caller<'a> {
    world: &'a World,
    version: &'static str,
}

impl Caller<'_> {
    async fn ask(&self, method: Method, name: &str, body: Value) -> kube::Result<Value> {
        let path = format!("/apis/{GROUP}/{}/namespaces/acme/importjobs/{name}", self.version);
        let request = Request::builder().method(method).uri(path).header("content-type", "application/merge-patch+json");
        self.world.client.request(request.body(body.to_string().into_bytes()).unwrap()).await
    }

    async fn get(&self, name: &str) -> kube::Result<Value> {
        self.ask(Method::GET, name, Value::Null).await
    }

    async fn patch(&self, name: &str, body: Value) -> Value {
        self.ask(Method::PATCH, name, body).await.unwrap_or_else(|error| panic!("{} {name}: {error}", self.version))
    }

    async fn is_served(&self) {
        wait_for(&format!("{} to be served", self.version), SOON, async || Ok(self.get("accounts").await.ok())).await.unwrap();
    }
}

async fn define(world: &World, converter: &Converter, stored: &str, served: &[&str]) {
    world.apply(&definition(converter, stored, served).to_string()).await;
}

async fn is_suspended(world: &World, name: &str, suspended: bool) {
    let (old, mut last) = (Caller { world, version: OLD }, Value::Null);
    let told = wait_for("the operator", SOON, async || {
        last = old.get(name).await?;
        let ready = last["status"]["conditions"].as_array().into_iter().flatten().find(|condition| condition["type"] == "Ready");
        let is_it =
            |ready: &&Value| (ready["reason"] == "Suspended") == suspended && ready["observedGeneration"] == last["metadata"]["generation"];
        Ok(ready.filter(is_it).map(drop))
    });
    assert!(told.await.is_ok(), "the operator does not know that suspended is {suspended} of {name}: {last:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_differs_is_served_beside_the_old_one_takes_its_place_and_loses_nothing() {
    let mut world = World::start().await;
    world.tenant("acme").await;
    world.apply(&(job_yaml("acme", "accounts", UPLOAD, "{once: {id: '1'}}") + "  suspend: true\n")).await;
    is_suspended(&world, "accounts", true).await;
    let converter = Converter::start().await;

    // One: served beside the old one, which is stored.
    define(&world, &converter, OLD, &[OLD, NEW]).await;
    {
        let (old, new) = (Caller { world: &world, version: OLD }, Caller { world: &world, version: NEW });
        new.is_served().await;
        let seen = new.get("accounts").await.unwrap();
        assert_eq!((&seen["spec"]["state"], &seen["spec"]["suspend"]), (&json!("Suspended"), &Value::Null), "{seen}");

        // A caller of the new one has it load, and says what the old one cannot; the operator, which knows the old one, obeys.
        new.patch("accounts", json!({"spec": {"state": "Active", "priority": 7}})).await;
        world.worker("acme", "accounts-once-1", 1).await;
        is_suspended(&world, "accounts", false).await;
        // A tool that applies its manifest of the old version takes nothing of that away.
        world.apply(&job_yaml("acme", "accounts", UPLOAD, "{once: {id: '1'}}")).await;
        let labelled = old.patch("accounts", json!({"metadata": {"labels": {"team": "data"}}})).await;
        assert_eq!(labelled["metadata"]["annotations"][CARRIED], "7", "{labelled}");
        let seen = new.get("accounts").await.unwrap();
        assert_eq!((&seen["spec"]["priority"], &seen["metadata"]["labels"]["team"]), (&json!(7), &json!("data")), "{seen}");
        assert!(seen["metadata"]["annotations"].get(CARRIED).is_none());
    }

    // Two: the new one is stored. What was written before lies there as it was, until it is written again.
    define(&world, &converter, NEW, &[OLD, NEW]).await;
    let (old, new) = (Caller { world: &world, version: OLD }, Caller { world: &world, version: NEW });
    let down = async |down: bool| converter.works.store(!down, Ordering::SeqCst);
    wait_for("the new version to be what is stored", SOON, async || {
        world.apply(&job_yaml("acme", "probe", UPLOAD, "{once: {id: '1'}}")).await;
        down(true).await;
        let read = new.get("probe").await;
        down(false).await;
        Ok(read.ok())
    })
    .await
    .unwrap();
    down(true).await;
    let refused = new.get("accounts").await;
    assert!(refused.is_err_and(|error| error.to_string().contains("conversion webhook")), "control: it lies there in the old version");
    down(false).await;
    new.patch("accounts", json!({"metadata": {"annotations": {"moved": "1"}}})).await;
    down(true).await;
    assert_eq!(new.get("accounts").await.unwrap()["spec"]["priority"], 7, "nobody is asked any more");
    assert!(old.get("accounts").await.is_err(), "control: callers of the old version need the converter");
    tokio::time::sleep(Duration::from_secs(2)).await;
    down(false).await;

    // The operator went through that, and still obeys.
    world.apply(&(job_yaml("acme", "later", UPLOAD, "{once: {id: '1'}}") + "  suspend: true\n")).await;
    is_suspended(&world, "later", true).await;
    new.patch("later", json!({"spec": {"state": "Active"}})).await;
    world.worker("acme", "later-once-1", 1).await;

    // Three: the old one is not served any more.
    world.kill_operator().await;
    let stored = json!({"status": {"storedVersions": [NEW]}});
    let crds = kube::Api::<k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition>::all(
        world.client.clone(),
    );
    let name = format!("importjobs.{GROUP}");
    crds.patch_status(&name, &Default::default(), &kube::api::Patch::Merge(&stored)).await.unwrap();
    define(&world, &converter, NEW, &[NEW]).await;
    let (old, new) = (Caller { world: &world, version: OLD }, Caller { world: &world, version: NEW });
    wait_for("the old version to be gone", SOON, async || {
        let refused = old.get("accounts").await.err();
        Ok(refused.filter(|error| matches!(error, kube::Error::Api(status) if status.code == 404)))
    })
    .await
    .unwrap();
    let job = new.get("accounts").await.unwrap();
    assert_eq!((&job["spec"]["priority"], &job["spec"]["state"]), (&json!(7), &json!("Active")), "{job}");
    assert_eq!(job["spec"]["target"]["salesforce"]["mapping"], json!([{"from": "Company", "to": "Name"}]));
}

#[test]
fn what_goes_over_and_comes_back_is_as_it_was() {
    let at = |version: &str| format!("{GROUP}/{version}");
    for (spec, annotations) in [
        (json!({"state": "Suspended", "priority": 3}), json!({"a": "b"})),
        (json!({"state": "Active"}), json!({})),
        (json!({"priority": 0}), json!({})),
        (json!({}), json!({})),
    ] {
        let object =
            json!({"apiVersion": at(NEW), "kind": "ImportJob", "metadata": {"name": "j", "annotations": annotations}, "spec": spec});
        let over = converted(object.clone(), &at(OLD));
        assert_eq!(over["apiVersion"], at(OLD));
        assert_eq!(converted(over, &at(NEW)), object);
    }
}
