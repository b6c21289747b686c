//! A connection of SSH with one channel, on which SFTP is spoken.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use russh::client::{self, Config, Handle};
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PublicKeyOrCertificate};
use russh::{ChannelMsg, ChannelStream, Preferred, cipher, compression};
use russh_sftp::client::{RawSftpSession, SftpSession};

use super::login::log_in;
use super::{ANSWER, SftpLogin, SftpParams};
use crate::dial::Dialer;
use crate::error::Error;

/// From the first byte to the end of the key exchange, and from there to the end of the login.
const GREETING: Duration = Duration::from_secs(20);

/// Answers that are on their way at a time: 4 MiB, which is what a fast line holds.
const AHEAD: usize = 16;

/// The longest answer that is taken.
const LONGEST: u32 = 256 << 10;

/// AES first: processors have instructions for it, and a file came in 0.55 s with it where ChaCha20 took 0.61 s (`cargo xtask bench sources`).
const CIPHERS: [cipher::Name; 6] =
    [cipher::AES_128_GCM, cipher::AES_256_GCM, cipher::CHACHA20_POLY1305, cipher::AES_256_CTR, cipher::AES_192_CTR, cipher::AES_128_CTR];

/// A peer that says nothing while something is waited for.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Host keys that are understood, the ones to be preferred first. SHA-1 is not.
const HOST_KEYS: [Algorithm; 6] = [
    Algorithm::Ed25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
    Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
    Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
];

pub(super) struct Session {
    connection: Handle<HostKeys>,
    pub(super) sftp: SftpSession,
}

impl Session {
    pub(super) async fn open(dialer: &Dialer, params: &SftpParams, login: &SftpLogin) -> Result<Self, Error> {
        let target = format!("{}:{}", params.host, params.port);
        let late = |after| Error::TimedOut { target: target.clone(), after };
        let mut connection = greet(dialer, params).await?;
        tokio::time::timeout(GREETING, log_in(&mut connection, &target, &params.user, login)).await.map_err(|_| late(GREETING))??;
        let channel = tokio::time::timeout(ANSWER, subsystem(&connection, &target)).await.map_err(|_| late(ANSWER))??;
        let sftp = tokio::time::timeout(ANSWER, SftpSession::new_with_config(channel, protocol())).await.map_err(|_| late(ANSWER))?;
        Ok(Self { connection, sftp: sftp.map_err(|_| no_sftp(&target))? })
    }

    /// A channel of its own for what the other one cannot do: a folder's names by and by, not all at once.
    pub(super) async fn lists(&self, target: &str) -> Result<RawSftpSession, Error> {
        let lists = RawSftpSession::new_with_config(subsystem(&self.connection, target).await?, protocol());
        lists.init().await.map_err(|_| no_sftp(target))?;
        Ok(lists)
    }

    pub(super) fn is_open(&self) -> bool {
        !self.connection.is_closed()
    }
}

/// A connection to a server that has shown a key of the list. A server has keys of several kinds and shows the one that we prefer: when
/// that is not listed, another one may be.
async fn greet(dialer: &Dialer, params: &SftpParams) -> Result<Handle<HostKeys>, Error> {
    let target = format!("{}:{}", params.host, params.port);
    let mut kinds: Vec<Algorithm> = HOST_KEYS.to_vec();
    let mut refused: Option<Error> = None;
    loop {
        let stream = dialer.tcp(&params.host, params.port).await?;
        let greeting = client::connect_stream(Arc::new(config(&kinds)), stream, HostKeys(params.host_keys.clone()));
        let answer = tokio::time::timeout(GREETING, greeting).await;
        match answer.map_err(|_| Error::TimedOut { target: target.clone(), after: GREETING })? {
            Ok(connection) => return Ok(connection),
            Err(Refused::Key { fingerprint, algorithm }) => {
                let tried = kinds.len();
                kinds.retain(|kind| !is_same_kind(kind, &algorithm));
                let algorithm = algorithm.to_string();
                let first = refused.take().unwrap_or_else(|| Error::HostKey { target: target.clone(), fingerprint, algorithm });
                if kinds.is_empty() || kinds.len() == tried {
                    return Err(first);
                }
                refused = Some(first);
            }
            Err(Refused::Library(error)) => {
                return Err(match (refused, error) {
                    // It has keys of no other kind.
                    (Some(refused), russh::Error::NoCommonAlgo { .. }) => refused,
                    (_, error) => ssh_error(&target, error),
                });
            }
        }
    }
}

fn is_same_kind(one: &Algorithm, other: &Algorithm) -> bool {
    match (one, other) {
        // Three signatures, one key.
        (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }) => true,
        (one, other) => one == other,
    }
}

fn config(kinds: &[Algorithm]) -> Config {
    let preferred = Preferred {
        key: Cow::Owned(kinds.to_vec()),
        cipher: Cow::Borrowed(&CIPHERS),
        compression: Cow::Borrowed(&[compression::NONE]),
        ..Preferred::DEFAULT
    };
    Config { preferred, keepalive_interval: Some(KEEPALIVE), keepalive_max: 2, ..Config::default() }
}

fn no_sftp(target: &str) -> Error {
    Error::SftpProtocol { target: target.to_owned(), reason: "it lets the user in, and offers no SFTP".to_owned() }
}

fn protocol() -> russh_sftp::client::Config {
    russh_sftp::client::Config {
        max_packet_len: LONGEST,
        max_concurrent_reads: AHEAD,
        // The one who waits counts; an answer far back in the queue may take longer than that.
        request_timeout_secs: 10 * ANSWER.as_secs(),
        ..Default::default()
    }
}

async fn subsystem(connection: &Handle<HostKeys>, target: &str) -> Result<ChannelStream<client::Msg>, Error> {
    let mut channel = connection.channel_open_session().await.map_err(|error| ssh_error(target, error))?;
    channel.request_subsystem(true, "sftp").await.map_err(|error| ssh_error(target, error))?;
    loop {
        match channel.wait().await {
            Some(ChannelMsg::Success) => return Ok(channel.into_stream()),
            Some(ChannelMsg::WindowAdjusted { .. }) => {}
            _ => return Err(no_sftp(target)),
        }
    }
}

/// What a failure of the connection comes down to.
pub(super) fn ssh_error(target: &str, error: russh::Error) -> Error {
    let target = target.to_owned();
    let protocol = |reason: String| Error::SftpProtocol { target: target.clone(), reason };
    match error {
        russh::Error::IO(source) => Error::Unreachable { target, source },
        russh::Error::Disconnect | russh::Error::HUP | russh::Error::SendError | russh::Error::RecvError => {
            Error::Unreachable { target, source: io::ErrorKind::ConnectionAborted.into() }
        }
        russh::Error::ConnectionTimeout | russh::Error::KeepaliveTimeout | russh::Error::InactivityTimeout => {
            Error::Unreachable { target, source: io::ErrorKind::TimedOut.into() }
        }
        russh::Error::Version => protocol("it does not greet as an SSH server does".to_owned()),
        russh::Error::NoCommonAlgo { kind, theirs, .. } => {
            // The server wrote them, and a terminal may obey what it shows.
            let is_name =
                |name: &&String| name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.@+".contains(&byte));
            let theirs: Vec<&str> = theirs.iter().filter(is_name).take(8).map(String::as_str).collect();
            protocol(format!("it offers nothing for {kind:?} that is safe, only {}", theirs.join(", ")))
        }
        // Its texts are of the library, and quote nothing that was sent.
        error => protocol(error.to_string()),
    }
}

/// Fingerprints of the keys that the server may show.
pub(super) struct HostKeys(Vec<String>);

/// Why a server is not talked to.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("the host key {fingerprint} is not listed")]
    Key { fingerprint: String, algorithm: Algorithm },
    #[error(transparent)]
    Library(#[from] russh::Error),
}

impl client::Handler for HostKeys {
    type Error = Refused;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Refused> {
        // Certificates are not asked for.
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else { return Ok(false) };
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        if self.0.contains(&fingerprint) { Ok(true) } else { Err(Refused::Key { fingerprint, algorithm: key.algorithm() }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_server_offers_are_shown_if_they_are_names() {
        let theirs = ["3des-cbc", "\u{1b}[2Jevil", "a b", &"x".repeat(65), "chacha20@openssh.com"].map(str::to_owned).to_vec();
        let error = russh::Error::NoCommonAlgo { kind: russh::AlgorithmKind::Cipher, ours: Vec::new(), theirs };
        let said = ssh_error("sftp.example:22", error).to_string();
        assert!(said.ends_with("that is safe, only 3des-cbc, chacha20@openssh.com"), "{said:?}");
    }
}
