//! A PostgreSQL for the demo: the machine's own packaged server, packed into an image with what it links to, and the
//! table that the second import reads.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::certificate::Certificate;
use crate::image::Image;
use crate::process;

pub(crate) const REFERENCE: &str = "postgres-demo:dev";
const CONTACTS: i64 = 5_000;

/// What the import of the table must report; the arithmetic is that of the table's definition.
pub(crate) fn expected() -> super::airports::Expected {
    let inactive = |id: i64| id % 5 == 0;
    let filtered = (1..=CONTACTS).filter(|id| inactive(*id)).count() as i64;
    let failed = (1..=CONTACTS).filter(|id| !inactive(*id) && id % 997 == 0).count() as i64;
    super::airports::Expected { read: CONTACTS, filtered, failed }
}

/// Every fifth contact is inactive; every 997th has no last name, which Salesforce requires.
fn schema() -> String {
    format!(
        "CREATE TABLE contacts (id bigint PRIMARY KEY, first_name text, last_name text, email text, active boolean NOT NULL);\n\
         INSERT INTO contacts SELECT i, 'Given' || i, CASE WHEN i % 997 = 0 THEN NULL ELSE 'Family' || i END, \
         'contact' || i || '@globex.example', i % 5 <> 0 FROM generate_series(1, {CONTACTS}) AS i;\n\
         CREATE ROLE importer LOGIN PASSWORD 'demo-password-of-no-value';\n\
         GRANT SELECT ON contacts TO importer;\n"
    )
}

/// Makes a fresh database and serves it: TLS only, passwords only. In the image everything is below /; elsewhere FOLDER says
/// where, and ADDRESS what to listen on.
fn start_script(version: &str) -> String {
    let bin = format!("/usr/lib/postgresql/{version}/bin");
    format!(
        "#!/bin/sh\nset -eu\nexport LC_ALL=C PGDATA=${{FOLDER-}}/data/db\nrm -rf $PGDATA\n\
         {bin}/initdb --username=postgres --auth=reject --no-sync --encoding=UTF8 --no-locale >/dev/null\n\
         echo 'hostssl all all all scram-sha-256' >$PGDATA/pg_hba.conf\n\
         echo 'CREATE DATABASE warehouse;' | {bin}/postgres --single postgres >/dev/null\n\
         {bin}/postgres --single -j warehouse <${{FOLDER-}}/schema.sql >/dev/null\n\
         exec {bin}/postgres -c listen_addresses=${{ADDRESS-*}} -c unix_socket_directories= -c ssl=on \
         -c ssl_cert_file=${{FOLDER-}}/tls/tls.crt -c ssl_key_file=${{FOLDER-}}/tls/tls.key -c fsync=off\n"
    )
}

/// Lays out a folder that `start` serves a database of: what the image has below /.
pub(crate) fn lay_out(folder: &Path, schema: &str, tls: &Certificate) -> Result<()> {
    let put = |name: &str, content: Vec<u8>| -> Result<()> {
        let path = folder.join(name);
        std::fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))
    };
    for directory in ["data", "tls"] {
        std::fs::create_dir_all(folder.join(directory)).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    put("start", start_script(&installed()?.0).into_bytes())?;
    put("schema.sql", single_user_form(schema).into_bytes())?;
    put("tls/tls.crt", std::fs::read(&tls.certificate)?)?;
    put("tls/tls.key", std::fs::read(&tls.key)?)?;
    // PostgreSQL refuses to run as root, and wants its files to be its own and its key private.
    process::output(Command::new("chmod").arg("600").arg(folder.join("tls/tls.key")))?;
    process::output(Command::new("chown").args(["--recursive", "postgres:"]).arg(folder))?;
    Ok(())
}

/// Packs the image unless it is there already.
pub(crate) fn pack(archive: &Path, scratch: &Path) -> Result<()> {
    let (version, home) = installed()?;
    let mut files = BTreeSet::new();
    for program in ["initdb", "postgres"] {
        files.insert(home.join("bin").join(program));
    }
    for folder in [home.join("lib"), PathBuf::from("/usr/share/postgresql").join(&version)] {
        regular_files(&folder, &mut files)?;
    }
    files.retain(|f| !["bitcode", "/man/", "locale", "llvmjit"].iter().any(|part| f.to_string_lossy().contains(part)));
    for name in ["UTC", "Etc/UTC"] {
        files.insert(Path::new("/usr/share/zoneinfo").join(name));
    }
    files.insert("/bin/sh".into());
    files.insert("/bin/rm".into());
    for program in files.clone().iter().filter(|f| f.to_string_lossy().contains("/bin/") || f.extension().is_some_and(|e| e == "so")) {
        files.extend(linked_libraries(program)?);
    }
    let mut image = Image::new(REFERENCE, &["/start"]);
    for file in files {
        image = image.with_file(&file.to_string_lossy()[1..], &file);
    }
    let text = |name: &str, content: &str| -> Result<PathBuf> {
        let path = scratch.join(name);
        std::fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    };
    let user = crate::image::USER;
    image
        .with_file("start", &text("postgres-start", &start_script(&version))?)
        .with_file("schema.sql", &text("postgres-schema.sql", &single_user_form(&schema()))?)
        .with_file("etc/passwd", &text("postgres-passwd", &format!("postgres:x:{user}:{user}::/data:/bin/sh\n"))?)
        .write(archive)
}

/// `postgres --single -j` ends a statement at a semicolon followed by an empty line.
fn single_user_form(sql: &str) -> String {
    sql.replace(";\n", ";\n\n")
}

/// Version and folder of the packaged server.
fn installed() -> Result<(String, PathBuf)> {
    let mut versions: Vec<_> = std::fs::read_dir("/usr/lib/postgresql")
        .context("PostgreSQL is not installed: apt-get install postgresql")?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    versions.sort();
    let version = versions.pop().context("PostgreSQL is not installed: apt-get install postgresql")?;
    let home = Path::new("/usr/lib/postgresql").join(&version);
    Ok((version, home))
}

fn regular_files(folder: &Path, files: &mut BTreeSet<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        match path.is_dir() {
            true => regular_files(&path, files)?,
            false => drop(files.insert(path)),
        }
    }
    Ok(())
}

fn linked_libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let said = process::output(Command::new("ldd").arg(program))?;
    let words = said.split_whitespace().filter(|word| word.starts_with('/') && !word.ends_with(':'));
    Ok(words.map(PathBuf::from).filter(|path| path.is_file()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expectation_is_that_of_the_table() {
        let expected = expected();
        assert_eq!((expected.read, expected.filtered, expected.failed, expected.succeeded()), (5_000, 1_000, 4, 3_996));
    }
}
