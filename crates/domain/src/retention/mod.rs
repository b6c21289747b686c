//! How long files live. What reads files and what erases them ask the same functions with the API server's time.

use api::tenant::{Plan, ResultRetention, RetentionKind, TenantSpec};
use jiff::{SignedDuration, Timestamp};

/// An uploaded file is readable for this long after its last byte.
pub const UPLOAD_LIFE: SignedDuration = SignedDuration::from_hours(1);
/// Result files of a tenant that chose nothing.
pub const DEFAULT_RESULT_DAYS: i32 = 14;
/// `keepDays: 0`.
const SHORTEST_RESULT_LIFE: SignedDuration = SignedDuration::from_mins(1);
/// A claim on a file whose bytes never came.
pub const ABANDONED_AFTER: SignedDuration = SignedDuration::from_hours(24);

/// When an upload that is complete now stops being readable.
pub fn upload_expiry(completed: Timestamp) -> Timestamp {
    completed + UPLOAD_LIFE
}

/// What applies to a tenant's result files: only plan Enterprise chooses.
pub fn tenant_rule(tenant: &TenantSpec) -> ResultRetention {
    match (&tenant.plan, &tenant.retention) {
        (Plan::Enterprise, Some(retention)) => retention.results.clone(),
        _ => ResultRetention::days(DEFAULT_RESULT_DAYS),
    }
}

/// A job's wish within the tenant's rule: whichever keeps less.
pub fn effective(rule: &ResultRetention, wish: Option<&ResultRetention>) -> ResultRetention {
    match wish {
        Some(wish) if life(wish) < life(rule) => wish.clone(),
        _ => rule.clone(),
    }
}

/// Whether result files are written at all.
pub fn writes_results(rule: &ResultRetention) -> bool {
    life(rule).is_some()
}

/// When result files of a run that ended at `ended` are erased; absent when none may exist. A whole second, because a status has no
/// others: what is told is what is sealed.
pub fn result_expiry(ended: Timestamp, rule: &ResultRetention) -> Option<Timestamp> {
    let end = ended + life(rule)?;
    Some(Timestamp::from_second(end.as_second()).unwrap_or(end))
}

/// `None` is shorter than any life.
fn life(rule: &ResultRetention) -> Option<SignedDuration> {
    let days = |days: i32| Some(SignedDuration::from_hours(24 * i64::from(days)));
    match rule.kind() {
        Some(RetentionKind::None) => None,
        Some(RetentionKind::KeepDays(0)) => Some(SHORTEST_RESULT_LIFE),
        Some(RetentionKind::KeepDays(kept)) => days(*kept),
        // A rule that this version does not know is no rule.
        None => days(DEFAULT_RESULT_DAYS),
    }
}

/// When a stored result file dies: what was sealed with its key, or earlier if a rule says so by now. Never later: lengthening a rule
/// revives nothing. All that reads, erases, seals or tells of the file asks this. While its run goes on, the seal alone counts; with the run's end the
/// rule of tenant and job as they were at its start is applied and sealed, from then on the tenant's may shorten it.
pub fn stored_result_expiry(sealed_not_after: Timestamp, ended: Option<Timestamp>, rule_now: &ResultRetention) -> Timestamp {
    let Some(ended) = ended else { return sealed_not_after };
    result_expiry(ended, rule_now).unwrap_or(ended).min(sealed_not_after)
}

/// A file is readable up to its expiry, not at it.
pub fn readable(now: Timestamp, not_after: Timestamp) -> bool {
    now < not_after
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn none() -> ResultRetention {
        ResultRetention::none()
    }

    #[test]
    fn an_upload_is_readable_for_sixty_minutes_and_not_one_second_more() {
        let expiry = upload_expiry(at("2026-11-24T10:00:00Z"));
        assert!(readable(at("2026-11-24T10:59:59Z"), expiry));
        assert!(!readable(at("2026-11-24T11:00:00Z"), expiry));
    }

    #[test]
    fn zero_days_is_one_minute_and_none_is_never() {
        let ended = at("2026-11-24T10:00:00Z");
        assert_eq!(result_expiry(ended, &ResultRetention::days(0)), Some(at("2026-11-24T10:01:00Z")));
        assert_eq!(result_expiry(ended, &ResultRetention::days(14)), Some(at("2026-12-08T10:00:00Z")));
        assert_eq!(result_expiry(at("2026-11-24T10:00:00.9Z"), &ResultRetention::days(0)), Some(at("2026-11-24T10:01:00Z")));
        assert_eq!(result_expiry(ended, &none()), None);
        assert!(!writes_results(&none()) && writes_results(&ResultRetention::days(0)));
    }

    #[test]
    fn a_job_may_shorten_the_tenants_rule_and_never_lengthen_it() {
        let rule = ResultRetention::days(14);
        assert_eq!(effective(&rule, Some(&ResultRetention::days(30))), rule);
        assert_eq!(effective(&rule, Some(&ResultRetention::days(1))), ResultRetention::days(1));
        assert_eq!(effective(&rule, Some(&none())), none());
        assert_eq!(effective(&none(), Some(&ResultRetention::days(1))), none());
        assert_eq!(effective(&rule, None), rule);
    }

    #[test]
    fn shortening_reaches_existing_files_and_lengthening_does_not() {
        let ended = at("2026-11-24T10:00:00Z");
        let sealed = at("2026-12-08T10:00:00Z");
        assert_eq!(stored_result_expiry(sealed, Some(ended), &ResultRetention::days(1)), at("2026-11-25T10:00:00Z"));
        assert_eq!(stored_result_expiry(sealed, Some(ended), &ResultRetention::days(30)), sealed);
        assert_eq!(stored_result_expiry(sealed, Some(ended), &none()), ended);
        assert_eq!(stored_result_expiry(sealed, None, &ResultRetention::days(0)), sealed);
    }

    #[test]
    fn only_enterprise_chooses() {
        let tenant = |plan: &str| -> TenantSpec {
            serde_json::from_value(serde_json::json!({
                "region": "r", "namespaces": ["n"], "plan": plan, "retention": {"results": {"keepDays": 1}},
                "contact": {"firstName": "A", "lastName": "B", "email": "a@b", "country": "DE"}
            }))
            .unwrap()
        };
        assert_eq!(tenant_rule(&tenant("Enterprise")), ResultRetention::days(1));
        assert_eq!(tenant_rule(&tenant("Standard")), ResultRetention::days(DEFAULT_RESULT_DAYS));
    }
}
