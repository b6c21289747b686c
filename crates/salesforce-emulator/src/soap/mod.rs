//! The part of the SOAP API that loaders need: login, logout, getUserInfo, undelete, emptyRecycleBin.

mod xml;

use std::sync::Arc;

use http::StatusCode;
use xml::{Element, escape};

use crate::call::Call;
use crate::oauth;
use crate::org::Org;
use crate::reply::{self, Reply};
use crate::store::{RowError, Store};

const MOST_IDS: usize = 200;
/// `login()` is gone from later versions.
const LAST_LOGIN_VERSION: u32 = 64;

struct Fault {
    code: &'static str,
    kind: &'static str,
    message: String,
}

impl Fault {
    fn new(code: &'static str, kind: &'static str, message: impl Into<String>) -> Self {
        Self { code, kind, message: message.into() }
    }
}

/// `call.path` starts behind `Soap`: kind of API, version, sometimes the organisation.
pub(crate) async fn dispatch(org: &Arc<Org>, mut call: Call) -> Reply {
    let version: u32 = call.path.get(1).and_then(|text| text.split('.').next()?.parse().ok()).unwrap_or(0);
    let namespace = match call.path.first().map(|kind| kind.to_ascii_lowercase()).as_deref() {
        Some("c") => "urn:enterprise.soap.sforce.com",
        _ => "urn:partner.soap.sforce.com",
    };
    let answer = match call.bytes().await {
        Ok(body) => std::str::from_utf8(&body).ok().and_then(Element::parse).map_or_else(
            || Err(Fault::new("UNKNOWN_EXCEPTION", "UnexpectedErrorFault", "The envelope could not be read")),
            |envelope| answer(org, version, &envelope),
        ),
        Err(error) => Err(Fault::new("UNKNOWN_EXCEPTION", "UnexpectedErrorFault", error.message)),
    };
    match answer {
        Ok(body) => envelope(StatusCode::OK, &format!("xmlns=\"{namespace}\" xmlns:sf=\"urn:sobject.{}\"", &namespace[4..]), &body),
        Err(fault) => {
            let message = escape(&fault.message);
            let Fault { code, kind, .. } = fault;
            let body = format!(
                "<soapenv:Fault><faultcode>sf:{code}</faultcode><faultstring>{code}: {message}</faultstring><detail>\
                 <sf:{kind} xsi:type=\"sf:{kind}\"><sf:exceptionCode>{code}</sf:exceptionCode>\
                 <sf:exceptionMessage>{message}</sf:exceptionMessage></sf:{kind}></detail></soapenv:Fault>"
            );
            envelope(StatusCode::INTERNAL_SERVER_ERROR, "xmlns:sf=\"urn:fault.partner.soap.sforce.com\"", &body)
        }
    }
}

fn envelope(status: StatusCode, namespaces: &str, body: &str) -> Reply {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" {namespaces}><soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>"
    );
    reply::typed(status, "text/xml; charset=utf-8", text)
}

fn answer(org: &Org, version: u32, envelope: &Element) -> Result<String, Fault> {
    let operation = envelope.child("Body").and_then(|body| body.children.first());
    let operation = operation.ok_or_else(|| Fault::new("UNKNOWN_EXCEPTION", "UnexpectedErrorFault", "The body is empty"))?;
    if operation.name == "login" {
        return login(org, version, operation);
    }
    let header = envelope.child("Header").and_then(|header| header.child("SessionHeader"));
    let token = header.and_then(|header| header.child("sessionId")).map(|session| session.text.trim().to_owned()).unwrap_or_default();
    if !org.tokens().use_session(&token, org.now(), org.config.session_timeout) {
        let message = "Invalid Session ID found in SessionHeader: Illegal Session. Session not found, missing session key";
        return Err(Fault::new("INVALID_SESSION_ID", "UnexpectedErrorFault", message));
    }
    let ids = || operation.children.iter().filter(|child| child.name == "ids").map(|id| id.text.trim().to_owned()).collect::<Vec<_>>();
    match operation.name.as_str() {
        "logout" => {
            org.tokens().revoke(&token);
            Ok("<logoutResponse/>".to_owned())
        }
        "getUserInfo" => Ok(format!("<getUserInfoResponse><result>{}</result></getUserInfoResponse>", user_info(org))),
        "undelete" => {
            let now = org.now();
            each(org, "undelete", &ids(), |store, object, id| store.undelete(object, id, now))
        }
        "emptyRecycleBin" => each(org, "emptyRecycleBin", &ids(), Store::purge),
        name => Err(Fault::new("UNSUPPORTED_API_OPERATION", "UnexpectedErrorFault", format!("No operation available for request {name}"))),
    }
}

fn login(org: &Org, version: u32, operation: &Element) -> Result<String, Fault> {
    if version > LAST_LOGIN_VERSION {
        return Err(Fault::new("UNSUPPORTED_API_VERSION", "UnexpectedErrorFault", "login() is not supported in this API version"));
    }
    let text = |name: &str| operation.child(name).map(|child| child.text.clone()).unwrap_or_default();
    let right = text("username").trim().eq_ignore_ascii_case(&org.config.username);
    if !org.config.password_login || !right || !oauth::password_matches(org, &text("password")) {
        let message = "Invalid username, password, security token; or user locked out.";
        return Err(Fault::new("INVALID_LOGIN", "LoginFault", message));
    }
    let session = oauth::soap_session(org);
    let (url, id, user) = (&org.url, &org.org_id[..15], &org.user_id);
    Ok(format!(
        "<loginResponse><result><metadataServerUrl>{url}/services/Soap/m/{version}.0/{id}</metadataServerUrl>\
         <passwordExpired>false</passwordExpired><sandbox>false</sandbox><serverUrl>{url}/services/Soap/u/{version}.0/{id}</serverUrl>\
         <sessionId>{}</sessionId><userId>{user}</userId><userInfo>{}</userInfo></result></loginResponse>",
        escape(&session),
        user_info(org)
    ))
}

fn user_info(org: &Org) -> String {
    let seconds = org.config.session_timeout.as_secs();
    let username = escape(&org.config.username);
    let members = [
        ("accessibilityMode", "false".to_owned()),
        ("chatterExternal", "false".to_owned()),
        ("currencySymbol", "$".to_owned()),
        ("orgAttachmentFileSizeLimit", "26214400".to_owned()),
        ("orgDefaultCurrencyIsoCode", "USD".to_owned()),
        ("orgDefaultCurrencyLocale", "en_US".to_owned()),
        ("orgDisallowHtmlAttachments", "false".to_owned()),
        ("orgHasPersonAccounts", "false".to_owned()),
        ("organizationId", org.org_id.clone()),
        ("organizationMultiCurrency", "false".to_owned()),
        ("organizationName", "Salesforce Emulator".to_owned()),
        ("profileId", "00e5e0000000001AAA".to_owned()),
        ("roleId", String::new()),
        ("sessionSecondsValid", seconds.to_string()),
        ("userDefaultCurrencyIsoCode", String::new()),
        ("userEmail", "integration@emulator.invalid".to_owned()),
        ("userFullName", "Integration".to_owned()),
        ("userId", org.user_id.clone()),
        ("userLanguage", "en_US".to_owned()),
        ("userLocale", "en_US".to_owned()),
        ("userName", username),
        ("userTimeZone", "GMT".to_owned()),
        ("userType", "Standard".to_owned()),
        ("userUiSkin", "Theme3".to_owned()),
    ];
    members
        .into_iter()
        .map(|(name, value)| if value.is_empty() { format!("<{name} xsi:nil=\"true\"/>") } else { format!("<{name}>{value}</{name}>") })
        .collect()
}

/// One result an id, in the order of the ids.
fn each(
    org: &Org,
    operation: &str,
    ids: &[String],
    change: impl Fn(&mut Store, usize, &str) -> Result<(), RowError>,
) -> Result<String, Fault> {
    if ids.len() > MOST_IDS {
        let message = format!("record limit reached. cannot submit more than {MOST_IDS} records into this call");
        return Err(Fault::new("EXCEEDED_ID_LIMIT", "UnexpectedErrorFault", message));
    }
    let mut store = org.store_mut();
    let results: String = ids
        .iter()
        .map(|id| {
            let object = id.get(..3).and_then(|prefix| org.schema.by_prefix(prefix));
            let changed = match object {
                Some(object) => change(&mut store, object, id),
                None => Err(RowError::on("MALFORMED_ID", format!("malformed id {id}"), "Id")),
            };
            result(id, changed.err())
        })
        .collect();
    Ok(format!("<{operation}Response>{results}</{operation}Response>"))
}

fn result(id: &str, error: Option<RowError>) -> String {
    let id = escape(id);
    match error {
        None => format!("<result><id>{id}</id><success>true</success></result>"),
        Some(error) => {
            let fields: String = error.fields.iter().map(|field| format!("<fields>{field}</fields>")).collect();
            let (message, code) = (escape(&error.message), error.code);
            format!(
                "<result><errors>{fields}<message>{message}</message><statusCode>{code}</statusCode></errors><id>{id}</id>\
                 <success>false</success></result>"
            )
        }
    }
}
