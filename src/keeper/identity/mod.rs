//! Who the keeper is to others: the UID of the installation, the certificate that proves it, and the end of both.

pub(crate) mod authority;
pub(crate) mod farewell;
pub(crate) mod installation;
