//! How we become a user of an org: client credentials or JWT bearer. Never username and password.

mod hosts;
mod identity;
mod jwt;
mod login;
mod pem;

pub use hosts::{HostError, LoginHost};
pub use identity::{Introspection, Revocation, UserInfo};
pub use jwt::{KeyError, SigningKey};
pub use login::{Grant, Issued, Login, TokenIssuer};
