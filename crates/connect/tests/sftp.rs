//! Files of an SFTP server: a real OpenSSH.

#[path = "support/openssh.rs"]
mod openssh;
#[path = "support/tinyproxy.rs"]
#[allow(dead_code, reason = "another test uses the rest of it")]
mod tinyproxy;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use connect::{
    AddressPolicy, Dialer, EntryKind, Error, FileError, FileState, RemoteFiles, SftpFiles, SftpLogin, SftpParams, Span, reasons,
};
use futures::{StreamExt, TryStreamExt};

use crate::openssh::{OpenSsh, Setup};

fn files(params: &SftpParams, login: &SftpLogin) -> SftpFiles {
    Dialer::new(AddressPolicy::unrestricted()).sftp(params, login)
}

async fn read(files: &SftpFiles, path: &str, span: impl Into<Span>, state: &FileState) -> Result<Vec<u8>, FileError> {
    let pieces: Vec<_> = files.open(path, span.into(), state).await?.try_collect().await?;
    Ok(pieces.concat())
}

fn key(key: &str, passphrase: Option<&str>) -> SftpLogin {
    SftpLogin::Key { key: key.into(), passphrase: passphrase.map(Into::into), certificate: None }
}

async fn refused(params: &SftpParams, login: &SftpLogin) -> Error {
    files(params, login).verify().await.expect_err("it is let in")
}

#[tokio::test]
async fn files_are_read_through_a_proxy_and_the_host_key_is_still_that_of_the_server() {
    let (server, proxy) = (OpenSsh::start(), tinyproxy::Tinyproxy::start());
    let params = server.params("ed25519", server.port);
    let through = |params: &SftpParams| {
        Dialer::new(AddressPolicy::unrestricted()).through(Some(proxy.proxy(&[], None))).sftp(params, &OpenSsh::password())
    };
    through(&params).verify().await.unwrap_or_else(|error| panic!("{error}: {}", server.log()));
    assert_eq!(proxy.asked_for(server.port), 1, "{}", proxy.log());
    let other = SftpParams { host_keys: vec![format!("SHA256:{}", "A".repeat(43))], ..params };
    let error = through(&other).verify().await.unwrap_err();
    assert!(matches!(error, Error::HostKey { .. }), "{error}");
}

#[tokio::test]
async fn passwords_keys_and_certificates_let_in_and_wrong_ones_do_not() {
    let server = OpenSsh::start();
    let params = server.params("ed25519", server.port);
    files(&params, &OpenSsh::password()).verify().await.unwrap_or_else(|error| panic!("{error}: {}", server.log()));
    for (kind, passphrase) in [("ed25519", ""), ("rsa", ""), ("ecdsa", ""), ("ed25519", "open sesame")] {
        let text = server.user_key(kind, passphrase);
        let login = key(&text, Some(passphrase).filter(|phrase| !phrase.is_empty()));
        files(&params, &login).verify().await.unwrap_or_else(|error| panic!("{kind}: {error}: {}", server.log()));
        if !passphrase.is_empty() {
            let error = refused(&params, &key(&text, None)).await;
            assert!(error.to_string().contains("encryptedPrivateKey"), "{error}");
            let error = refused(&params, &key(&text, Some("guess"))).await;
            assert!(error.to_string().contains("passphrase") && !error.to_string().contains("guess"), "{error}");
        }
    }
    for (kind, format, begins) in
        [("rsa", "PEM", "-----BEGIN RSA"), ("rsa", "PKCS8", "-----BEGIN PRIVATE"), ("ecdsa", "PKCS8", "-----BEGIN PRIVATE")]
    {
        let text = server.converted(&server.user_key(kind, ""), format);
        assert!(text.starts_with(begins), "{format}");
        files(&params, &key(&text, None)).verify().await.unwrap_or_else(|error| panic!("{kind} in {format}: {error}"));
    }
    let certified =
        |(key, certificate): (String, String)| SftpLogin::Key { key: key.into(), passphrase: None, certificate: Some(certificate.into()) };
    files(&params, &certified(server.certified_key("reader", "+1h"))).verify().await.unwrap();
    let (someones, _) = server.certified_key("other", "+1h");
    let (_, certificate) = server.certified_key("reader", "+2h00m");
    for (login, words) in [
        (SftpLogin::Password("guess".into()), "correct the user or the credential; it takes publickey, password"),
        (key(&someones, None), "correct the user or the credential"),
        (certified(server.certified_key("somebody", "+1h")), "correct the user or the credential"),
        (certified(server.certified_key("reader", "-2h:-1h")), "correct the user or the credential"),
        (certified((someones.clone(), certificate)), "for another key"),
        (certified((someones, "hello".into())), "none of OpenSSH"),
        (key("hello", None), "none that is understood"),
    ] {
        let error = refused(&params, &login).await;
        assert_eq!(error.reason(), reasons::LOGIN_REFUSED, "{error}");
        assert!(error.to_string().contains(words) && !error.is_transient(), "{error}");
    }
}

#[tokio::test]
async fn a_password_is_given_in_a_dialogue_too() {
    let server = OpenSsh::with(Setup { dialogue: true, ..Setup::default() });
    let params = server.params("ed25519", server.port);
    files(&params, &OpenSsh::password()).verify().await.unwrap_or_else(|error| panic!("{error}: {}", server.log()));
    let error = refused(&params, &SftpLogin::Password("guess".into())).await;
    assert_eq!(error.reason(), reasons::LOGIN_REFUSED);
}

#[tokio::test]
async fn a_server_that_wants_two_proofs_is_told_from_one_that_takes_none() {
    let server = OpenSsh::with(Setup { config: "AuthenticationMethods publickey,password\n", ..Setup::default() });
    let text = server.user_key("ed25519", "");
    let error = refused(&server.params("ed25519", server.port), &key(&text, None)).await;
    assert!(error.to_string().contains("wants another one besides (password)"), "{error}");
}

#[tokio::test]
async fn a_host_key_is_one_of_the_list_whatever_its_kind_or_nothing_is_said() {
    let server = OpenSsh::with(Setup { host_keys: &["ed25519", "ecdsa", "rsa"], ..Setup::default() });
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let params = server.params(kind, server.port);
        files(&params, &OpenSsh::password()).verify().await.unwrap_or_else(|error| panic!("{kind}: {error}: {}", server.log()));
    }
    let shown = server.params("ed25519", server.port).host_keys.remove(0);
    let mut params = server.params("rsa", server.port);
    params.host_keys = vec![format!("SHA256:{}", "A".repeat(43))];
    let error = refused(&params, &OpenSsh::password()).await;
    assert_eq!(error.reason(), reasons::HOST_KEY_REFUSED);
    assert!(error.to_string().contains(&shown) && error.to_string().contains("sftp.hostKeys"), "{error}");
    assert!(!server.log().contains("Failed password"), "a password was shown to a server that is not known: {}", server.log());
    // Control: the log tells of a password that was shown.
    refused(&server.params("rsa", server.port), &SftpLogin::Password("guess".into())).await;
    assert!(server.log().contains("Failed password"), "{}", server.log());
}

#[tokio::test]
async fn files_are_read_whole_from_a_place_on_and_through_new_keys() {
    // New keys for every few hundred kilobytes.
    let server = OpenSsh::with(Setup { config: "RekeyLimit 300K\n", ..Setup::default() });
    let files = files(&server.params("ed25519", server.port), &OpenSsh::password());
    let content: Vec<u8> =
        (0..5_000_000_u32).flat_map(|number| (number.wrapping_mul(2_654_435_761) >> 24).to_le_bytes()[..1].to_vec()).collect();
    for (name, content) in [("in.csv", content.as_slice()), ("empty.csv", b""), ("a b+c ✓.csv", b"x")] {
        fs::write(server.file(name), content).unwrap();
        let state = files.look(name).await.unwrap();
        assert_eq!(state.length, Some(content.len() as u64));
        assert!(read(&files, name, 0.., &state).await.unwrap() == content, "{name}");
    }
    let state = files.look("in.csv").await.unwrap();
    assert!(read(&files, "in.csv", 4_000_000.., &state).await.unwrap() == content[4_000_000..]);
    assert!(read(&files, "in.csv", 1_000_000..1_700_001, &state).await.unwrap() == content[1_000_000..1_700_001]);
    // Two at a time, and one that is left in the middle.
    let mut left = files.open("in.csv", Span::ALL, &state).await.unwrap();
    left.try_next().await.unwrap();
    drop(left);
    let (one, other) = tokio::join!(read(&files, "in.csv", 0.., &state), read(&files, "in.csv", 1.., &state));
    assert!(one.unwrap() == content && other.unwrap() == content[1..]);
}

#[tokio::test]
async fn folders_are_listed_with_what_links_lead_to_and_each_gives_its_channel_back() {
    let server = OpenSsh::start();
    let files = files(&server.params("ed25519", server.port), &OpenSsh::password());
    let place = |name: &str| server.file(name);
    // A server lets one connection have ten channels.
    for number in 0..25 {
        fs::create_dir_all(place(&format!("days/{number:02}"))).unwrap();
        fs::write(place(&format!("days/{number:02}/a.csv")), "abc").unwrap();
    }
    std::os::unix::fs::symlink(place("days/03/a.csv"), place("days/link.csv")).unwrap();
    std::os::unix::fs::symlink(place("days/03"), place("days/99")).unwrap();
    std::os::unix::fs::symlink("/nowhere", place("days/broken.csv")).unwrap();
    let list = async |folder: &str| {
        let entries = files.list(folder, "").await.unwrap_or_else(|error| panic!("{folder}: {error}: {}", server.log()));
        let mut entries: Vec<_> = entries.try_collect().await.unwrap();
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        entries
    };
    let days = list("days").await;
    let folders: Vec<_> = days.iter().filter(|entry| entry.kind == EntryKind::Folder).collect();
    assert_eq!((days.len(), folders.len()), (27, 26), "{days:?}");
    assert!(matches!(days[26].kind, EntryKind::File { length: 3, modified } if modified > 1_700_000_000), "{days:?}");
    for folder in folders {
        let found = list(&format!("days/{}", folder.name)).await;
        assert!(
            matches!(&found[..], [file] if file.name == "a.csv" && matches!(file.kind, EntryKind::File { length: 3, .. })),
            "{found:?}"
        );
    }
    // Many at a time are not needed; one that is left in the middle gives its channel back, too.
    for _ in 0..25 {
        drop(files.list("days", "").await.unwrap().next().await);
    }
    let error = files.list("nowhere", "").await.err().expect("there is none");
    assert!(matches!(&error, FileError::NotFound(text) if text.contains("no folder")), "{error:?}");
}

#[tokio::test]
async fn what_is_missing_forbidden_a_folder_or_changed_is_told_as_that() {
    let server = OpenSsh::start();
    let mut params = server.params("ed25519", server.port);
    let home = files(&params, &OpenSsh::password());
    match home.look("nothing.csv").await {
        Err(FileError::NotFound(text)) => assert!(text.contains("nothing.csv"), "{text}"),
        other => panic!("{other:?}"),
    }
    fs::create_dir(server.file("out")).unwrap();
    assert!(matches!(home.look("out").await, Err(FileError::Path(text)) if text.contains("folder")));
    fs::write(server.file("out/a.csv"), "one").unwrap();
    let state = home.look("out/a.csv").await.unwrap();
    params.directory = Some(format!("{}/", server.file("out").display()));
    let below = files(&params, &OpenSsh::password());
    below.verify().await.unwrap();
    assert_eq!(below.look("a.csv").await.unwrap(), state);
    // The same length, at another time.
    fs::write(server.file("out/a.csv"), "two").unwrap();
    let later = SystemTime::now() + Duration::from_secs(5);
    fs::File::options().write(true).open(server.file("out/a.csv")).unwrap().set_modified(later).unwrap();
    assert!(matches!(read(&home, "out/a.csv", 0.., &state).await, Err(FileError::Changed { .. })));
    fs::set_permissions(server.file("out/a.csv"), fs::Permissions::from_mode(0o600)).unwrap();
    let state = home.look("out/a.csv").await.unwrap();
    match read(&home, "out/a.csv", 0.., &state).await {
        Err(FileError::Failed(error)) => assert_eq!(error.reason(), reasons::ACCESS_DENIED, "{error}"),
        other => panic!("{other:?}"),
    }
    params.directory = Some("/no/such/folder".into());
    let error = refused(&params, &OpenSsh::password()).await;
    assert!(error.to_string().contains("/no/such/folder") && !error.is_transient(), "{error}");
}

#[tokio::test]
async fn a_server_that_is_none_or_offers_no_sftp_is_told_so() {
    let server = OpenSsh::with(Setup { no_sftp: true, ..Setup::default() });
    let error = refused(&server.params("ed25519", server.port), &OpenSsh::password()).await;
    assert_eq!(error.reason(), reasons::NOT_SFTP, "{error}: {}", server.log());
    let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = other.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = other.accept().await {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let error = refused(&server.params("ed25519", port), &OpenSsh::password()).await;
    assert!([reasons::NOT_SFTP, reasons::UNREACHABLE].contains(&error.reason()), "{error}");
}

/// The keeper, which lives for months, verifies and goes.
#[tokio::test]
async fn a_connection_ends_with_who_used_it() {
    let server = OpenSsh::start();
    let files = files(&server.params("ed25519", server.port), &OpenSsh::password());
    files.verify().await.unwrap();
    assert!(server.connections() > 0, "control: there is one");
    drop(files);
    for _ in 0..100 {
        if server.connections() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{} connections are left", server.connections());
}

#[tokio::test]
async fn a_connection_that_broke_is_opened_anew() {
    let server = OpenSsh::start();
    fs::write(server.file("a.csv"), "one").unwrap();
    let files = files(&server.params("ed25519", server.port), &OpenSsh::password());
    let state = files.look("a.csv").await.unwrap();
    server.hang_up();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(read(&files, "a.csv", 0.., &state).await.unwrap(), b"one");
}
