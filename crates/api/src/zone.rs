//! Time zones by their names.

use std::fmt;

use jiff::tz::{TimeZone, TimeZoneDatabase};

/// The zone of this name in the IANA database.
///
/// The database is the one in this program. That of the machine may be older or absent, as on an image with nothing but the program, and has
/// names that are none of IANA's (`posixrules`, `right/Europe/Berlin`): a job would mean something else where it is checked than where it runs.
///
/// # Errors
///
/// There is no zone of this name.
pub fn zone(name: &str) -> Result<TimeZone, UnknownZone> {
    let found = TimeZoneDatabase::bundled().get(name).ok().filter(|zone| !zone.is_unknown());
    found.ok_or_else(|| UnknownZone(name.to_owned()))
}

/// A name that is none of a time zone. Its words begin with the field, `timeZone`; whoever shows them says which one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UnknownZone(String);

impl fmt::Display for UnknownZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "timeZone {:?} is not a time zone: use an IANA name, e.g. Europe/Berlin", self.0)
    }
}

impl std::error::Error for UnknownZone {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_known_by_their_names_wherever_the_program_runs() {
        for name in ["Europe/Berlin", "Australia/Sydney", "America/Argentina/Buenos_Aires", "Etc/GMT-3", "UTC"] {
            assert_eq!(zone(name).unwrap().iana_name(), Some(name));
        }
        assert_eq!(zone("europe/berlin").unwrap().iana_name(), Some("Europe/Berlin"));
    }

    #[test]
    fn what_is_no_name_of_iana_is_refused_in_words() {
        for name in ["Europe/Atlantis", "", "+02:00", "CET-1CEST", "localtime", "posixrules", "right/Europe/Berlin", "Etc/Unknown"] {
            assert!(zone(name).is_err(), "{name}");
        }
        let words = zone("Europe/Atlantis").unwrap_err().to_string();
        assert_eq!(words, "timeZone \"Europe/Atlantis\" is not a time zone: use an IANA name, e.g. Europe/Berlin");
    }
}
