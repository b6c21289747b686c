//! What a database answers to a Connection that is wrong, as its user reads it. That rows come out of one, worker by worker, is seen where
//! nothing of them may be left (`at_rest`).

use anyhow::Result;

use super::Check;
use super::beside::{Beside, SHOP};
use crate::demo::Demo;

pub(super) const CHECKS: &[Check] =
    &[("a MariaDB that refuses the password, or is another server than the Connection says, is told with the way out", refusals)];

const TENANT: &str = "shopper";

fn refusals(demo: &Demo) -> Result<()> {
    let mut beside = Beside::start(demo)?;
    beside.mariadb()?;
    beside.tenant(TENANT)?;
    let password = beside.password();
    // The control, and what is wrong with each of the others: its password, the name its server has to prove.
    let cases = [
        ("right", password.as_str(), SHOP, "Verified", "MySQL or MariaDB 1"),
        (
            "password",
            "another",
            SHOP,
            "LoginRefused",
            "correct entry password of Secret password, which is made anew for that, or user and database in spec.mysql",
        ),
        ("name", &password, "other.beside.svc", "TlsRefused", "other.beside.svc"),
    ];
    for (name, password, server_name, ..) in cases {
        beside.shop(TENANT, name, password, server_name)?;
        beside.permit(TENANT, name)?;
    }
    for (name, _, _, reason, words) in cases {
        beside.connection_says(TENANT, name, reason, words)?;
    }
    Ok(())
}
