//! Which versions of the API an org speaks.

use std::fmt;
use std::str::FromStr;

use reqwest::Method;
use serde::Deserialize;

use crate::client::{Client, READ};
use crate::error::Error;

/// A version of the API, always with one decimal: `66.0`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ApiVersion(u16);

/// The text is not a version of the API.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not an API version: expected a number like 66.0")]
pub struct NotAVersion;

impl ApiVersion {
    /// The version `major.0`: 66 for `66.0`.
    pub const fn new(major: u16) -> Self {
        Self(major)
    }
}

/// The version this client is written for.
impl Default for ApiVersion {
    fn default() -> Self {
        Self(66)
    }
}

/// As it stands in a path: `v66.0`.
impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.0", self.0)
    }
}

impl FromStr for ApiVersion {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let major = text.strip_prefix('v').unwrap_or(text).strip_suffix(".0").ok_or(NotAVersion)?;
        major.parse().map(Self).map_err(|_| NotAVersion)
    }
}

impl Client {
    /// The versions the org speaks, oldest first. Harmless to repeat.
    pub async fn versions(&self) -> Result<Vec<ApiVersion>, Error> {
        #[derive(Deserialize)]
        struct Wire {
            version: String,
        }
        let wires: Vec<Wire> = self
            .json(READ.named("read the API versions"), |client, session| {
                let mut url = session.instance_url.clone();
                url.set_path("/services/data");
                client.request(Method::GET, url)
            })
            .await?;
        let mut versions: Vec<ApiVersion> = wires.iter().filter_map(|wire| wire.version.parse().ok()).collect();
        versions.sort_unstable();
        Ok(versions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_and_written_with_its_decimal() {
        assert_eq!("66.0".parse(), Ok(ApiVersion::new(66)));
        assert_eq!("v21.0".parse(), Ok(ApiVersion::new(21)));
        assert_eq!(ApiVersion::default().to_string(), "v66.0");
        assert_eq!("66".parse::<ApiVersion>(), Err(NotAVersion));
        assert_eq!("66.5".parse::<ApiVersion>(), Err(NotAVersion));
    }
}
