//! Objects of a bucket: from servers that cheat, and from a real one.

#[path = "../support/answers.rs"]
mod answers;
mod cheating;
#[path = "../support/issuer.rs"]
mod issuer;
#[path = "../support/minio.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod minio;
mod real;
mod role;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/told.rs"]
mod told;

use connect::{AddressPolicy, Dialer, ObjectFiles, S3Key, S3Params};

fn dialer() -> Dialer {
    Dialer::new(AddressPolicy::unrestricted())
}

fn bucket(params: &S3Params, key: &S3Key) -> ObjectFiles {
    dialer().s3(params, key).unwrap()
}
