//! An sshd for one test, from the Debian package `openssh-server`: on loopback, with users, passwords and login rules of its own, which are
//! mounted over those of the machine for this one process. Mounting needs root.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use connect::{SftpLogin, SftpParams};
use tempfile::TempDir;

pub(crate) const USER: &str = "reader";
pub(crate) const PASSWORD: &str = "correct horse battery";

/// Stopped and removed when dropped.
pub(crate) struct OpenSsh {
    folder: TempDir,
    process: Child,
    made: AtomicU32,
    pub(crate) port: u16,
}

/// What differs from a server that takes passwords and keys, and has a key of one kind.
#[derive(Clone, Copy, Default)]
pub(crate) struct Setup {
    /// Kinds of host keys, as `ssh-keygen -t` takes them; none: Ed25519.
    pub(crate) host_keys: &'static [&'static str],
    /// More lines of sshd's configuration, which go before all others.
    pub(crate) config: &'static str,
    /// There is no SFTP behind the login.
    pub(crate) no_sftp: bool,
    /// Passwords are asked for in a dialogue, by PAM.
    pub(crate) dialogue: bool,
}

impl OpenSsh {
    pub(crate) fn start() -> Self {
        Self::with(Setup::default())
    }

    pub(crate) fn with(setup: Setup) -> Self {
        let folder = tempfile::Builder::new().prefix("sshd-").tempdir_in("/tmp").expect("a temporary folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("a folder that its user can enter");
        let here = folder.path().display().to_string();
        let kinds = if setup.host_keys.is_empty() { &["ed25519"] } else { setup.host_keys };
        let mut host_keys = String::new();
        for kind in kinds {
            key_pair(&folder.path().join(format!("host_{kind}")), kind, "");
            host_keys.push_str(&format!("HostKey {here}/host_{kind}\n"));
        }
        key_pair(&folder.path().join("ca"), "ed25519", "");
        let port = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("its number").port();
        let passwords = if setup.dialogue {
            "UsePAM yes\nPasswordAuthentication no\nKbdInteractiveAuthentication yes\n"
        } else {
            "UsePAM no\nPasswordAuthentication yes\nKbdInteractiveAuthentication no\n"
        };
        let sftp = if setup.no_sftp { "" } else { "Subsystem sftp internal-sftp\nForceCommand internal-sftp\n" };
        let config = format!(
            "{}ListenAddress 127.0.0.1:{port}\nPidFile none\n{host_keys}{passwords}StrictModes no\nAuthorizedKeysFile {here}/authorized\n\
             TrustedUserCAKeys {here}/ca.pub\n{sftp}MaxStartups 100\n",
            setup.config
        );
        let hash = Command::new("openssl").args(["passwd", "-6", PASSWORD]).output().expect("running openssl").stdout;
        let hash = String::from_utf8(hash).expect("text");
        for (name, text) in [
            ("sshd_config", config),
            ("authorized", String::new()),
            (
                "passwd",
                format!(
                    "root:x:0:0::/root:/bin/sh\nsshd:x:64122:65534::/run/sshd:/bin/false\n{USER}:x:64123:65534::{here}/files:/bin/false\n"
                ),
            ),
            ("shadow", format!("root:*:20000:0:99999:7:::\nsshd:!:20000::::::\n{USER}:{}:20000:0:99999:7:::\n", hash.trim())),
            ("pam", "auth required pam_unix.so\naccount required pam_permit.so\nsession required pam_permit.so\n".to_owned()),
            (
                "start.sh",
                format!(
                    "set -e\nmount --make-rprivate /\nmount -t tmpfs tmpfs /run\nmkdir -m 755 /run/sshd\n\
                     mount --bind {here}/passwd /etc/passwd\nmount --bind {here}/shadow /etc/shadow\nmount --bind {here}/pam /etc/pam.d/sshd\n\
                     exec /usr/sbin/sshd -D -e -f {here}/sshd_config\n"
                ),
            ),
        ] {
            fs::write(folder.path().join(name), text).expect("a file of sshd");
        }
        fs::create_dir(folder.path().join("files")).expect("a folder");
        fs::set_permissions(folder.path().join("shadow"), fs::Permissions::from_mode(0o600)).expect("its mode");
        let log = fs::File::create(folder.path().join("log")).expect("the server's log");
        let process = Command::new("unshare")
            .args(["--mount", "sh"])
            .arg(folder.path().join("start.sh"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the server's log"))
            .stderr(log)
            .spawn()
            .expect("running unshare");
        let server = Self { folder, process, made: AtomicU32::new(0), port };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "sshd did not start (it needs root, and the package openssh-server): {}",
                server.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// How many connections there are: it has a process for each.
    pub(crate) fn connections(&self) -> usize {
        let found = Command::new("pgrep").args(["-P", &self.process.id().to_string()]).output().expect("running pgrep").stdout;
        String::from_utf8(found).expect("text").lines().count()
    }

    /// Ends the connections that there are.
    pub(crate) fn hang_up(&self) {
        let ended = Command::new("pkill").args(["-KILL", "-P", &self.process.id().to_string()]).status().expect("running pkill");
        assert!(ended.success(), "there was no connection");
    }

    /// Where a file lies that the user sees under this name.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("files").join(name)
    }

    /// The server through a port, with the host key of this kind.
    pub(crate) fn params(&self, kind: &str, port: u16) -> SftpParams {
        SftpParams {
            host: "127.0.0.1".into(),
            port,
            user: USER.into(),
            host_keys: vec![fingerprint(&self.folder.path().join(format!("host_{kind}.pub")))],
            directory: None,
        }
    }

    pub(crate) fn password() -> SftpLogin {
        SftpLogin::Password(PASSWORD.into())
    }

    /// A new key of the user, of this kind and with this passphrase: its text.
    pub(crate) fn user_key(&self, kind: &str, passphrase: &str) -> String {
        let number = self.made.fetch_add(1, Ordering::SeqCst);
        let file = self.folder.path().join(format!("user_{number}"));
        key_pair(&file, kind, passphrase);
        let authorized = self.folder.path().join("authorized");
        let known = fs::read_to_string(&authorized).expect("the user's keys");
        let public = fs::read_to_string(file.with_extension("pub")).expect("a public key");
        fs::write(authorized, known + &public).expect("the user's keys");
        fs::read_to_string(file).expect("a private key")
    }

    /// The same private key in another format, as `ssh-keygen -m` calls it.
    pub(crate) fn converted(&self, key: &str, format: &str) -> String {
        let file = self.folder.path().join("converted");
        fs::write(&file, key).expect("a private key");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("its mode");
        let made =
            Command::new("ssh-keygen").args(["-q", "-p", "-N", "", "-m", format, "-f"]).arg(&file).output().expect("running ssh-keygen");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let converted = fs::read_to_string(&file).expect("a private key");
        fs::remove_file(file).expect("the private key");
        converted
    }

    /// A new key and a certificate that makes it one of this principal for a while, `validity` as `ssh-keygen -V` takes it.
    pub(crate) fn certified_key(&self, principal: &str, validity: &str) -> (String, String) {
        let file = self.folder.path().join(format!("certified_{}", self.made.fetch_add(1, Ordering::SeqCst)));
        key_pair(&file, "ed25519", "");
        let signed = Command::new("ssh-keygen")
            .args(["-q", "-I", "test", "-n", principal, "-V", validity, "-s"])
            .arg(self.folder.path().join("ca"))
            .arg(file.with_extension("pub"))
            .output()
            .expect("running ssh-keygen");
        assert!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
        let certificate = format!("{}-cert.pub", file.display());
        (fs::read_to_string(file).expect("a private key"), fs::read_to_string(certificate).expect("a certificate"))
    }
}

fn key_pair(file: &Path, kind: &str, passphrase: &str) {
    let made = Command::new("ssh-keygen").args(["-q", "-t", kind, "-N", passphrase, "-f"]).arg(file).output();
    let made = made.expect("this test needs OpenSSH: apt-get install openssh-server");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

fn fingerprint(public: &Path) -> String {
    let told = Command::new("ssh-keygen").arg("-lf").arg(public).output().expect("running ssh-keygen").stdout;
    String::from_utf8(told).expect("text").split_whitespace().nth(1).expect("a fingerprint").to_owned()
}

impl Drop for OpenSsh {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
