//! What a reason means whose message the code puts together at the moment, so that there is nothing to read in it: by the page's section.
//! A reason that needs a line and has none is an error, and so is a line that nothing needs.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

type Meaning = (&'static str, &'static str, &'static str);

const MEANINGS: &[Meaning] = &[
    ("Region", "ChainBroken", "*a line of the audit was changed, removed or added; the message names the chain and the line*"),
    (
        "Region",
        "ClockSkew",
        "*the keeper's clock and the API server's differ by more than it may be; condition ClockSkew says by how much*",
    ),
    ("Region", "StorageNotReady", "*the keeper cannot use the Region's storage; the message has the reason and the words of StorageReady*"),
    ("Tenant", "Leaving", "*what the tenant has is being erased; the message says what is waited for*"),
    (
        "Connection",
        "ConsentMissing",
        "*the Secret's owner has not agreed to this Connection and endpoint; the message has the annotation to add*",
    ),
    ("Connection", "SourceForbidden", "*the keeper may not read the Secret; the message has the Role and RoleBinding to apply*"),
    (
        "Connection",
        "SourceNotDeleted",
        "*the keeper may not delete the Secret, as afterIntake Delete asks; the message has the rule to add*",
    ),
    ("Connection", "Verified", "*the system took the credential; `status.metadata` says which system and which user*"),
    ("ImportJob", "InvalidSchedule", "*the cron expression or its time zone cannot be read; the message says where*"),
    (
        "ImportRun",
        "Queued",
        "*the tenant's or the region's runs are as many as may be at a time; the message says which limit it waits for*",
    ),
    ("ImportRun", "AttemptEnded", "*an attempt ended; the message has its reason, which stands in this table, too*"),
    ("ImportRun", "Cancelled", "*it wound up because the run was cancelled*"),
    ("ImportRun", "Completed", "*it brought the run to its end and said how*"),
    ("ImportRun", "Deadline", "*it wound up because guards.deadlineSeconds had passed*"),
    (KEEPER, "APIServer", "*the API server cannot be reached, or fails; the message says what was being done*"),
    (KEEPER, "APIServerRefused", "*the API server says no to the keeper; the message has what was being done and the server's words*"),
    (RECORD, "TooLong", "*more was to be sealed than one record or file may hold*"),
    (SALESFORCE, "HostRefused", "*the login host is none of Salesforce and none that the Region allows; the message says which are*"),
    (SALESFORCE, "JobSpoiled", "*a bulk job got data twice or was changed by another; its rows are sent in a new one*"),
    (SALESFORCE, "KeyUnusable", "*the private key cannot be read; the message says what is wrong with it*"),
    (
        SALESFORCE,
        "OrgRefusesWrites",
        "*nothing can be written to this org any more, as when it is locked or read-only; the message has its words*",
    ),
    (SALESFORCE, "QuotaExhausted", "*the org's daily API requests or bulk batches are used up; they come back within 24 hours*"),
    (SALESFORCE, "RecordsLocked", "*another transaction holds the records; the rows are tried again*"),
    (SALESFORCE, "Refused", "*Salesforce says no in words of its own, which the message quotes*"),
    (SALESFORCE, "RequestImpossible", "*a call cannot be made of what the job says; the message says of what*"),
    (SALESFORCE, "SessionRefused", "*the access token is not taken any more; a new one is asked for*"),
    (SALESFORCE, "TemporarilyUnavailable", "*Salesforce cannot be reached or is busy; it is tried again*"),
    (SALESFORCE, "TooMuchAtOnce", "*a call holds more than Salesforce takes in one; it is sent in smaller parts*"),
];
const KEEPER: &str = "Region, Tenant, Connection: what the keeper ran into";
const RECORD: &str = "Region, Tenant, Connection: a record or key that cannot be used";
const SALESFORCE: &str = "Connection: what Salesforce answered";

/// Gives the lines out, and knows at the end whether all were needed.
#[derive(Default)]
pub(super) struct Meanings {
    taken: BTreeSet<Meaning>,
    lacking: Vec<String>,
}

impl Meanings {
    /// The message itself where it says something.
    pub(super) fn message(&mut self, section: &str, reason: &str, message: &str) -> String {
        if message.chars().any(char::is_alphanumeric) {
            return message.to_owned();
        }
        match MEANINGS.iter().find(|(of, word, _)| (*of, *word) == (section, reason)) {
            Some(meaning) => {
                self.taken.insert(*meaning);
                meaning.2.to_owned()
            }
            None => {
                self.lacking.push(format!("{section}: {reason}"));
                String::new()
            }
        }
    }

    pub(super) fn are_complete(self) -> Result<()> {
        ensure!(
            self.lacking.is_empty(),
            "reasons whose message says nothing by itself have no line in xtask/src/docs/reasons/meanings.rs:\n  {}",
            self.lacking.join("\n  ")
        );
        let gone: Vec<_> = MEANINGS.iter().filter(|meaning| !self.taken.contains(*meaning)).map(|(of, word, _)| (of, word)).collect();
        ensure!(gone.is_empty(), "lines of xtask/src/docs/reasons/meanings.rs that no reason needs: {gone:?}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_without_a_message_needs_a_line_and_a_line_a_reason() {
        let mut all = Meanings::default();
        for (section, reason, meaning) in MEANINGS {
            assert_eq!(all.message(section, reason, "…: …"), *meaning);
        }
        assert_eq!(all.message("Region", "Anything", "says …"), "says …");
        assert!(all.are_complete().is_ok());
        assert!(Meanings::default().are_complete().unwrap_err().to_string().contains("ChainBroken"));
        let mut lacking = Meanings::default();
        lacking.message("Upload", "New", "");
        assert!(lacking.are_complete().unwrap_err().to_string().contains("Upload: New"));
    }
}
