//! How a server is shown who we are.

use std::sync::Arc;

use russh::client::{AuthResult, Handle, Handler, KeyboardInteractiveAuthResponse};
use russh::keys::{Certificate, PrivateKey, PrivateKeyWithHashAlg, decode_secret_key};
use russh::{MethodKind, MethodSet};
use secrecy::{ExposeSecret, SecretString};

use super::SftpLogin;
use super::session::ssh_error;
use crate::error::Error;

/// A dialogue that asks more often wants something that we have not.
const MOST_QUESTIONS: usize = 4;

pub(super) async fn log_in<H: Handler>(connection: &mut Handle<H>, target: &str, user: &str, login: &SftpLogin) -> Result<(), Error> {
    let refused = |reason: String| Error::Login { target: target.to_owned(), reason };
    let result = match login {
        SftpLogin::Password(password) => by_password(connection, user, password).await,
        SftpLogin::Key { key, passphrase, certificate } => {
            let key = private_key(key, passphrase.as_ref()).map_err(refused)?;
            match certificate {
                None => by_key(connection, user, key).await,
                Some(certificate) => {
                    let certificate = certificate_of(&key, certificate).map_err(refused)?;
                    connection.authenticate_openssh_cert(user, key, certificate).await
                }
            }
        }
    };
    match result.map_err(|error| ssh_error(target, error))? {
        AuthResult::Success => Ok(()),
        AuthResult::Failure { remaining_methods, partial_success } => Err(refused(why(user, &remaining_methods, partial_success))),
    }
}

fn why(user: &str, methods: &MethodSet, partial: bool) -> String {
    let methods: Vec<&str> = methods.iter().map(<&str>::from).collect();
    let takes = if methods.is_empty() { "nothing".to_owned() } else { methods.join(", ") };
    if partial {
        format!("it takes the credential and wants another one besides ({takes}), which is not supported: let user {user} in with one")
    } else {
        format!("it does not let user {user} in: correct the user or the credential; it takes {takes}")
    }
}

/// A password, or the same in a dialogue of one question, which many servers have in its place.
async fn by_password<H: Handler>(connection: &mut Handle<H>, user: &str, password: &SecretString) -> Result<AuthResult, russh::Error> {
    let result = connection.authenticate_password(user, password.expose_secret()).await?;
    match &result {
        AuthResult::Failure { remaining_methods, .. } if remaining_methods.contains(&MethodKind::KeyboardInteractive) => {}
        _ => return Ok(result),
    }
    let mut answer = connection.authenticate_keyboard_interactive_start(user, None::<String>).await?;
    for _ in 0..MOST_QUESTIONS {
        let replies = match answer {
            KeyboardInteractiveAuthResponse::Success => return Ok(AuthResult::Success),
            KeyboardInteractiveAuthResponse::Failure { .. } => return Ok(result),
            // What is typed without being shown is the password; to anything else we have no answer.
            KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => match prompts.as_slice() {
                [] => Vec::new(),
                [prompt] if !prompt.echo => vec![password.expose_secret().to_owned()],
                _ => return Ok(result),
            },
        };
        answer = connection.authenticate_keyboard_interactive_respond(replies).await?;
    }
    Ok(result)
}

async fn by_key<H: Handler>(connection: &mut Handle<H>, user: &str, key: Arc<PrivateKey>) -> Result<AuthResult, russh::Error> {
    let hash = match key.algorithm().is_rsa() {
        // A server that does not say what it takes takes SHA-2 since 2017; SHA-1 is not offered.
        true => connection.best_supported_rsa_hash().await?.flatten().or(Some(russh::keys::HashAlg::Sha256)),
        false => None,
    };
    connection.authenticate_publickey(user, PrivateKeyWithHashAlg::new(key, hash)).await
}

fn private_key(key: &SecretString, passphrase: Option<&SecretString>) -> Result<Arc<PrivateKey>, String> {
    let passphrase = passphrase.map(ExposeSecret::expose_secret);
    match decode_secret_key(key.expose_secret(), passphrase) {
        Ok(key) if key.is_encrypted() => Err(ENCRYPTED.to_owned()),
        Ok(key) => Ok(Arc::new(key)),
        Err(russh::keys::Error::KeyIsEncrypted) if passphrase.is_none() => Err(ENCRYPTED.to_owned()),
        // What the library says of it could quote it.
        Err(_) if passphrase.is_some() => Err("the private key cannot be opened with the passphrase, or is none".to_owned()),
        Err(_) => Err("the private key is none that is understood: give it as ssh-keygen writes it, or in PEM".to_owned()),
    }
}

const ENCRYPTED: &str = "the private key is encrypted: log in by sftp.auth.encryptedPrivateKey, with its passphrase in the Secret";

fn certificate_of(key: &PrivateKey, certificate: &SecretString) -> Result<Certificate, String> {
    let certificate = Certificate::from_openssh(certificate.expose_secret().trim())
        .map_err(|_| "the certificate is none of OpenSSH: it is one line, as in id_ed25519-cert.pub".to_owned())?;
    if certificate.public_key() != key.public_key().key_data() {
        return Err("the certificate is for another key than the private key".to_owned());
    }
    Ok(certificate)
}
