//! Reasons that the errors of this crate give: words for conditions, with what each means and what to do about it.

/// The answer is none that Salesforce gives: look at what stands between, such as a proxy.
pub(crate) const ANSWER_UNREADABLE: &str = "AnswerUnreadable";
/// The login host is none of Salesforce and none that the Region allows; the message says which are.
pub(crate) const HOST_REFUSED: &str = "HostRefused";
/// A bulk job got data twice or was changed by another; its rows are sent in a new one.
pub(crate) const JOB_SPOILED: &str = "JobSpoiled";
/// The private key cannot be read; the message says what is wrong with it.
pub(crate) const KEY_UNUSABLE: &str = "KeyUnusable";
/// Salesforce does not take the credential; the message has its code.
pub(crate) const LOGIN_REFUSED: &str = "LoginRefused";
/// There is no session with Salesforce; the message says why.
pub(crate) const NO_SESSION: &str = "NoSession";
/// Nothing can be written to this org any more, as when it is locked or read-only; the message has its words.
pub(crate) const ORG_REFUSES_WRITES: &str = "OrgRefusesWrites";
/// The org's daily API requests or bulk batches are used up; they come back within 24 hours.
pub(crate) const QUOTA_EXHAUSTED: &str = "QuotaExhausted";
/// Another transaction holds the records; the rows are tried again.
pub(crate) const RECORDS_LOCKED: &str = "RecordsLocked";
/// Salesforce says no in words of its own, which the message quotes.
pub(crate) const REFUSED: &str = "Refused";
/// A call cannot be made of what the job says; the message says of what.
pub(crate) const REQUEST_IMPOSSIBLE: &str = "RequestImpossible";
/// The access token is not taken any more; a new one is asked for.
pub(crate) const SESSION_REFUSED: &str = "SessionRefused";
/// Salesforce cannot be reached or is busy; it is tried again.
pub(crate) const TEMPORARILY_UNAVAILABLE: &str = "TemporarilyUnavailable";
/// A call holds more than Salesforce takes in one; it is sent in smaller parts.
pub(crate) const TOO_MUCH_AT_ONCE: &str = "TooMuchAtOnce";
