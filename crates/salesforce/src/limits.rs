//! How much of the org's allowances is used.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::client::{Client, READ};
use crate::error::Error;

/// API calls of the org in the last 24 hours, as every REST answer tells in `Sforce-Limit-Info`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ApiUsage {
    /// Calls of the last 24 hours.
    pub used: u64,
    /// Calls that the org may make in 24 hours.
    pub max: u64,
}

impl ApiUsage {
    /// Reads `api-usage=18/5000; per-app-api-usage=17/250(appName=x)`.
    pub(crate) fn parse(header: &str) -> Option<Self> {
        let usage = header.split([';', ',']).find_map(|part| part.trim().strip_prefix("api-usage="))?;
        let (used, max) = usage.split_once('/')?;
        Some(Self { used: used.trim().parse().ok()?, max: max.trim().parse().ok()? })
    }

    /// Whether more than `percent` of the allowance is used.
    pub fn exceeds(&self, percent: u8) -> bool {
        u128::from(self.used) * 100 > u128::from(self.max) * u128::from(percent)
    }
}

/// One allowance. The values lag behind.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "PascalCase")]
pub struct Limit {
    /// All of it, in the unit of its name: calls, batches, megabytes.
    pub max: i64,
    /// What is left of it.
    pub remaining: i64,
}

/// All allowances by name, e.g. `DailyApiRequests`, `DailyBulkApiBatches`.
pub type Limits = BTreeMap<String, Limit>;

impl Client {
    /// Reads the allowances. Harmless to repeat.
    pub async fn limits(&self) -> Result<Limits, Error> {
        self.get_json(READ.named("read the limits"), &["limits"], &[]).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_header_is_read_with_and_without_the_apps_own_share() {
        assert_eq!(ApiUsage::parse("api-usage=18/5000"), Some(ApiUsage { used: 18, max: 5000 }));
        assert_eq!(ApiUsage::parse("api-usage=18/5000; per-app-api-usage=17/250(appName=x)"), Some(ApiUsage { used: 18, max: 5000 }));
        assert_eq!(ApiUsage::parse("per-app-api-usage=17/250"), None);
        assert_eq!(ApiUsage::parse("api-usage=many"), None);
    }

    #[test]
    fn eighty_percent_is_not_yet_more_than_eighty() {
        assert!(!ApiUsage { used: 80, max: 100 }.exceeds(80));
        assert!(ApiUsage { used: 81, max: 100 }.exceeds(80));
    }

    #[test]
    fn limits_that_nest_the_share_of_single_apps_are_read() {
        let limits: Limits = serde_json::from_str(
            r#"{"DailyApiRequests":{"Max":5000,"Remaining":4937,"My App":{"Max":0,"Remaining":0}},"DataStorageMB":{"Max":5,"Remaining":5}}"#,
        )
        .unwrap();
        assert_eq!(limits["DailyApiRequests"], Limit { max: 5000, remaining: 4937 });
    }
}
