//! P7: the memory of a source does not grow with what it reads, whatever it reads from. Named only: filling its servers takes minutes.

use std::path::Path;

use anyhow::Result;

use super::data::{self, Header};
use super::readers::{Origin, in_a_place, in_turns, program};
use super::report::{Bound, Chapter, Figure, Goal};
use super::used::Used;
use super::{databases, objects, sources};
use crate::progress::Progress;
use crate::{packages, pinned};

/// How many times fewer, and how many times more, rows than the usual file: 10 MB and 1.6 GB.
const FEWER: u64 = 16;
const MORE: u64 = 10;

struct Kind {
    name: &'static str,
    start: fn(&Path) -> Result<Origin>,
    /// What is read there.
    what: &'static str,
}

const KINDS: [Kind; 5] = [
    Kind { name: "S3", start: objects::s3, what: objects::KEY },
    Kind { name: "SFTP", start: sources::sftp, what: sources::FILE },
    Kind { name: "HTTPS", start: |place| Ok(sources::https(place)?.0), what: sources::FILE },
    Kind { name: "PostgreSQL", start: databases::postgresql, what: databases::QUERY },
    Kind { name: "MariaDB", start: databases::mariadb, what: databases::QUERY },
];

pub(super) fn run(progress: &Progress, folder: &Path, rows: u64, rounds: Option<u16>) -> Result<Chapter> {
    let servers = [packages::RCLONE, packages::OPENSSH, packages::NGINX, packages::POSTGRESQL, packages::MARIADB, packages::OPENSSL];
    packages::install(progress, &servers)?;
    pinned::minio(progress)?;
    let program = program(progress)?;
    let sizes = [rows / FEWER, rows, rows * MORE];
    let (mut figures, mut goals) = (Vec::new(), Vec::new());
    for kind in &KINDS {
        // One server at a time, so that the large file is there no more than twice.
        let used = in_a_place("source-memory", |place| kind.read(progress, folder, place, &program, sizes, rounds.unwrap_or(1)))?;
        for (used, rows) in used.iter().zip(sizes) {
            figures.push(Figure::of(&format!("{}, {rows} rows", kind.name), "MiB", &used.peak_mib));
        }
        let [small, _, large] = used.map(|used| used.peak_mib.median());
        let what = format!("{}, {} rows − {} rows", kind.name, sizes[2], sizes[0]);
        goals.push(Goal::new("P7", &what, Bound::AtMost(8.0), large - small, "MiB"));
    }
    std::fs::remove_file(data::file(folder, sizes[2], Header::Columns)?)?;
    Ok(Chapter {
        scenario: "source-memory".to_owned(),
        about: "most memory resident at a time (VmHWM) of a source that reads CSV files and tables of servers on the same machine"
            .to_owned(),
        figures,
        goals,
        notes: vec!["read every 10 ms from /proc; what a process adds in its last moments may be missed".to_owned()],
    })
}

impl Kind {
    /// What reading each of the sizes took.
    fn read(&self, progress: &Progress, folder: &Path, place: &Path, program: &Path, sizes: [u64; 3], rounds: u16) -> Result<[Used; 3]> {
        let origin = (self.start)(place)?;
        let mut used: [Used; 3] = Default::default();
        for (used, rows) in used.iter_mut().zip(sizes) {
            let file = progress.during(&format!("the file of {rows} rows"), String::new, || data::file(folder, rows, Header::Columns))?;
            origin.fill(progress, &file)?;
            *used = in_turns(progress, folder, &[("a source", origin.source(program, self.what))], rows, rounds)?.remove(0);
        }
        Ok(used)
    }
}
