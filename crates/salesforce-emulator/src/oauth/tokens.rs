//! Every token the organisation ever issued, and whether it still opens anything.

use std::collections::HashMap;
use std::time::Duration;

use rand::Rng;
use serde::Serialize;

/// A user's consent to a client: the refresh token lives here, access tokens point here.
struct Grant {
    client_id: String,
    scope: String,
    refresh: Option<String>,
    issued: i64,
    revoked: bool,
}

struct Access {
    grant: usize,
    issued: i64,
    /// Sessions slide: their timeout counts from the last use.
    used: i64,
    revoked: bool,
}

/// An authorization code between the redirect and its exchange.
pub(super) struct Code {
    pub(super) client_id: String,
    pub(super) redirect_uri: String,
    pub(super) scope: String,
    pub(super) challenge: Option<String>,
    pub(super) issued: i64,
}

#[derive(Default)]
pub(crate) struct Tokens {
    grants: Vec<Grant>,
    access: HashMap<String, Access>,
    /// Refresh tokens, dead ones too, so that they are known as revoked rather than unknown.
    refresh: HashMap<String, usize>,
    codes: HashMap<String, Code>,
}

/// What tests and introspection may know of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IssuedToken {
    /// The token itself; it is written nowhere.
    #[serde(skip)]
    pub token: String,
    /// `access_token` or `refresh_token`.
    pub kind: &'static str,
    /// The application that it was issued to.
    pub client_id: String,
    /// Scopes, separated by blanks.
    pub scope: String,
    /// In milliseconds since 1970, by the organisation's clock.
    pub issued_at_ms: i64,
    /// The same; absent for a token that ends by revocation only.
    pub expires_at_ms: Option<i64>,
    /// Whether it opens anything now.
    pub active: bool,
}

const REFRESH_TOKENS_PER_CLIENT: usize = 5;

impl Tokens {
    pub(super) fn grant(&mut self, client_id: &str, scope: &str, with_refresh: bool, now: i64) -> usize {
        let refresh = with_refresh.then(|| format!("5Aep861{}", opaque(80)));
        let number = self.grants.len();
        if let Some(token) = &refresh {
            self.refresh.insert(token.clone(), number);
        }
        self.grants.push(Grant { client_id: client_id.to_owned(), scope: scope.to_owned(), refresh, issued: now, revoked: false });
        self.drop_oldest(client_id);
        number
    }

    /// Beyond five refresh tokens of one user and client the oldest dies silently.
    fn drop_oldest(&mut self, client_id: &str) {
        let live = |grant: &Grant| grant.client_id == client_id && grant.refresh.is_some() && !grant.revoked;
        let alive: Vec<usize> = self.grants.iter().enumerate().filter(|(_, grant)| live(grant)).map(|(i, _)| i).collect();
        let surplus = alive.len().saturating_sub(REFRESH_TOKENS_PER_CLIENT);
        alive.into_iter().take(surplus).for_each(|grant| self.grants[grant].revoked = true);
    }

    /// A new access token: the organisation's id, an exclamation mark, and nothing readable.
    pub(super) fn issue(&mut self, grant: usize, org_id: &str, now: i64) -> String {
        let token = format!("{}!AQ{}", &org_id[..15], opaque(94));
        self.access.insert(token.clone(), Access { grant, issued: now, used: now, revoked: false });
        token
    }

    pub(super) fn refresh_of(&self, grant: usize) -> Option<&str> {
        self.grants[grant].refresh.as_deref()
    }

    pub(super) fn scope_of(&self, grant: usize) -> &str {
        &self.grants[grant].scope
    }

    /// The live grant of a refresh token.
    pub(super) fn by_refresh(&self, token: &str, client_id: &str) -> Option<usize> {
        let number = *self.refresh.get(token)?;
        let grant = &self.grants[number];
        (!grant.revoked && grant.client_id == client_id && grant.refresh.as_deref() == Some(token)).then_some(number)
    }

    /// Rotation: the old refresh token dies with this call.
    pub(super) fn rotate(&mut self, grant: usize) {
        let token = format!("5Aep861{}", opaque(80));
        self.refresh.insert(token.clone(), grant);
        self.grants[grant].refresh = Some(token);
    }

    pub(super) fn add_code(&mut self, code: Code) -> String {
        let name = format!("aPrx{}==", opaque(70));
        self.codes.insert(name.clone(), code);
        name
    }

    /// A code can be used once, whatever comes of it.
    pub(super) fn take_code(&mut self, name: &str) -> Option<Code> {
        self.codes.remove(name)
    }

    /// Does this access token open a session now; if so its timeout starts again.
    pub(crate) fn use_session(&mut self, token: &str, now: i64, timeout: Duration) -> bool {
        let Some(access) = self.access.get_mut(token) else { return false };
        let alive = !access.revoked && !self.grants[access.grant].revoked && now - access.used <= millis(timeout);
        if alive {
            access.used = now;
        }
        alive
    }

    /// Kills an access token, or a refresh token with all access tokens of its grant. False for a token that is unknown
    /// or already dead.
    pub(crate) fn revoke(&mut self, token: &str) -> bool {
        if let Some(access) = self.access.get_mut(token) {
            return !std::mem::replace(&mut access.revoked, true);
        }
        match self.refresh.get(token) {
            Some(grant) => !std::mem::replace(&mut self.grants[*grant].revoked, true),
            None => false,
        }
    }

    /// Ends every session without touching refresh tokens, as a session timeout does.
    pub(crate) fn expire_sessions(&mut self) {
        self.access.values_mut().for_each(|access| access.revoked = true);
    }

    pub(crate) fn describe(&self, token: &str, now: i64, timeout: Duration) -> Option<IssuedToken> {
        if let Some(access) = self.access.get(token) {
            let grant = &self.grants[access.grant];
            let expires = access.used + millis(timeout);
            return Some(IssuedToken {
                token: token.to_owned(),
                kind: "access_token",
                client_id: grant.client_id.clone(),
                scope: grant.scope.clone(),
                issued_at_ms: access.issued,
                expires_at_ms: Some(expires),
                active: !access.revoked && !grant.revoked && now <= expires,
            });
        }
        let grant = &self.grants[*self.refresh.get(token)?];
        Some(IssuedToken {
            token: token.to_owned(),
            kind: "refresh_token",
            client_id: grant.client_id.clone(),
            scope: grant.scope.clone(),
            issued_at_ms: grant.issued,
            expires_at_ms: None,
            active: !grant.revoked && grant.refresh.as_deref() == Some(token),
        })
    }

    /// All tokens ever issued, oldest first.
    pub(crate) fn all(&self, now: i64, timeout: Duration) -> Vec<IssuedToken> {
        let names = self.access.keys().chain(self.refresh.keys());
        let mut all: Vec<IssuedToken> = names.filter_map(|token| self.describe(token, now, timeout)).collect();
        all.sort_by(|a, b| (a.issued_at_ms, &a.token).cmp(&(b.issued_at_ms, &b.token)));
        all
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

pub(crate) fn opaque(length: usize) -> String {
    rand::rng().sample_iter(rand::distr::Alphanumeric).take(length).map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORG: &str = "00D5e0000000001AAA";
    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_session_slides_and_then_ends() {
        let mut tokens = Tokens::default();
        let grant = tokens.grant("c", "api", false, 0);
        let token = tokens.issue(grant, ORG, 0);
        assert!(tokens.use_session(&token, 3_000_000, HOUR));
        assert!(tokens.use_session(&token, 6_000_000, HOUR));
        assert!(!tokens.use_session(&token, 9_600_001, HOUR));
    }

    #[test]
    fn revoking_a_refresh_token_kills_its_sessions_and_revoking_a_session_only_itself() {
        let mut tokens = Tokens::default();
        let grant = tokens.grant("c", "api refresh_token", true, 0);
        let (first, second) = (tokens.issue(grant, ORG, 0), tokens.issue(grant, ORG, 0));
        assert!(tokens.revoke(&first));
        assert!(!tokens.revoke(&first));
        assert!(tokens.use_session(&second, 1, HOUR));
        let refresh = tokens.refresh_of(grant).unwrap().to_owned();
        assert!(tokens.revoke(&refresh));
        assert!(!tokens.use_session(&second, 1, HOUR));
    }

    #[test]
    fn the_sixth_refresh_token_drops_the_first() {
        let mut tokens = Tokens::default();
        let grants: Vec<usize> = (0..6).map(|n| tokens.grant("c", "refresh_token", true, n)).collect();
        let refresh: Vec<String> = grants.iter().map(|g| tokens.refresh_of(*g).unwrap().to_owned()).collect();
        assert_eq!(tokens.by_refresh(&refresh[0], "c"), None);
        assert_eq!(tokens.by_refresh(&refresh[1], "c"), Some(grants[1]));
    }
}
