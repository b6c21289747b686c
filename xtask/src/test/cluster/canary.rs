//! A text that must be nowhere, and the search for it: as it is, and as it looks when somebody encoded it on the way.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use memchr::memmem::Finder;

/// How much of a file is looked at in one go.
const PIECE: usize = 4 << 20;

pub(super) struct Canary {
    pub(super) text: String,
    forms: Vec<(&'static str, Finder<'static>)>,
}

/// What a search went through, and where it found something.
#[derive(Default)]
pub(super) struct Searched {
    pub(super) files: usize,
    pub(super) bytes: u64,
    pub(super) findings: Vec<String>,
}

impl Searched {
    /// Fails when something was found, or when too little was there to say so.
    pub(super) fn found_nothing(&self, place: &str, least: u64) -> Result<()> {
        ensure!(self.findings.is_empty(), "in clear in {place}: {}", self.findings.join("; "));
        ensure!(self.bytes >= least, "control: {place} has only {} bytes in {} files", self.bytes, self.files);
        println!("  {place}: nothing in {} files, {} kB", self.files, self.bytes >> 10);
        Ok(())
    }
}

impl Canary {
    pub(super) fn new(text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut forms =
            vec![("raw", bytes.to_vec()), ("hex", hex::encode(bytes).into_bytes()), ("HEX", hex::encode_upper(bytes).into_bytes())];
        forms.push(("UTF-16LE", text.encode_utf16().flat_map(u16::to_le_bytes).collect()));
        forms.push(("UTF-16BE", text.encode_utf16().flat_map(u16::to_be_bytes).collect()));
        for (before, names) in [("base64", "base64url"), ("base64+1", "base64url+1"), ("base64+2", "base64url+2")].into_iter().enumerate() {
            let padded = [vec![0; before], bytes.to_vec()].concat();
            // Characters that hold bits of this text only: whatever stands before and after it does not matter.
            let own = (before * 8).div_ceil(6)..(before + bytes.len()) * 8 / 6;
            let (standard, url) = (STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded));
            forms.push((names.0, standard[own.clone()].as_bytes().to_vec()));
            if url != standard {
                forms.push((names.1, url[own].as_bytes().to_vec()));
            }
        }
        Self { text: text.to_owned(), forms: forms.into_iter().map(|(name, form)| (name, Finder::new(&form).into_owned())).collect() }
    }

    /// The control of a search: the place shows what is planted in it.
    pub(super) fn is_found_when_planted(&self, place: &Path) -> Result<()> {
        let planted = place.join("planted");
        fs::write(&planted, hex::encode(&self.text))?;
        let found = self.below(&[place.to_owned()])?;
        fs::remove_file(&planted)?;
        ensure!(found.findings.len() == 1, "control: what was planted at {} is found {} times", planted.display(), found.findings.len());
        Ok(())
    }

    /// Names of the forms in which it is there.
    pub(super) fn forms_in(&self, bytes: &[u8]) -> BTreeSet<&'static str> {
        self.forms.iter().filter(|(_, finder)| finder.find(bytes).is_some()).map(|(name, _)| *name).collect()
    }

    pub(super) fn in_text(&self, what: &str, text: &str) -> Searched {
        let forms = self.forms_in(text.as_bytes());
        let findings = if forms.is_empty() { Vec::new() } else { vec![format!("{what} ({forms:?})")] };
        Searched { files: 1, bytes: text.len() as u64, findings }
    }

    /// Looks through a file, or through every file below a folder. Compressed logs are looked into. Root file systems of
    /// containers are left out where they are mounted, since their parts lie on the disk, and handles of network namespaces.
    pub(super) fn below(&self, places: &[PathBuf]) -> Result<Searched> {
        let mut searched = Searched::default();
        for place in places {
            ensure!(place.exists(), "there is no {}", place.display());
            self.walk(place, &mut searched)?;
        }
        Ok(searched)
    }

    fn walk(&self, path: &Path, searched: &mut Searched) -> Result<()> {
        // Nodes are at work: what was listed may be gone.
        let Some(kind) = unless_gone(fs::symlink_metadata(path))? else { return Ok(()) };
        if path.ends_with("rootfs") || path.ends_with("netns") {
            return Ok(());
        }
        if kind.is_dir() {
            let Some(entries) = unless_gone(fs::read_dir(path))? else { return Ok(()) };
            for entry in entries {
                self.walk(&entry?.path(), searched)?;
            }
        } else if kind.is_file() {
            let Some(file) = unless_gone(File::open(path))? else { return Ok(()) };
            let forms = match path.extension().is_some_and(|ending| ending == "gz") {
                true => self.forms_in_stream(unpacked(file)?, searched),
                false => self.forms_in_stream(file, searched),
            };
            let forms = forms.with_context(|| format!("cannot search {}", path.display()))?;
            searched.files += 1;
            if !forms.is_empty() {
                searched.findings.push(format!("{} ({forms:?})", path.display()));
            }
        }
        Ok(())
    }

    fn forms_in_stream(&self, mut stream: impl Read, searched: &mut Searched) -> Result<BTreeSet<&'static str>> {
        let overlap = self.forms.iter().map(|(_, finder)| finder.needle().len()).max().unwrap_or_default();
        let (mut found, mut held) = (BTreeSet::new(), Vec::new());
        loop {
            let before = held.len();
            let Some(read) = unless_gone((&mut stream).take(PIECE as u64).read_to_end(&mut held))? else { return Ok(found) };
            searched.bytes += read as u64;
            if read == 0 {
                return Ok(found);
            }
            debug_assert!(before <= overlap);
            found.extend(self.forms_in(&held));
            held.drain(..held.len().saturating_sub(overlap));
        }
    }
}

fn unless_gone<T>(result: std::io::Result<T>) -> Result<Option<T>> {
    const ESTALE: i32 = 116;
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(ESTALE) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn unpacked(file: File) -> Result<impl Read> {
    let output = Command::new("gzip").arg("-dc").stdin(file).stderr(Stdio::null()).output().context("cannot start gzip")?;
    Ok(std::io::Cursor::new(output.stdout))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const TEXT: &str = "q7f3-secret?>of no value";

    fn canary() -> Canary {
        Canary::new(TEXT)
    }

    #[test]
    fn it_is_found_as_it_is_and_in_every_disguise() {
        let among = |form: Vec<u8>| [b"noise \xff".to_vec(), form, b"more".to_vec()].concat();
        assert_eq!(canary().forms_in(&among(TEXT.into())), BTreeSet::from(["raw"]));
        assert_eq!(canary().forms_in(&among(hex::encode(TEXT).into())), BTreeSet::from(["hex"]));
        assert_eq!(canary().forms_in(&among(hex::encode_upper(TEXT).into())), BTreeSet::from(["HEX"]));
        assert_eq!(canary().forms_in(&among(TEXT.encode_utf16().flat_map(u16::to_le_bytes).collect())), BTreeSet::from(["UTF-16LE"]));
        assert_eq!(canary().forms_in(&among(TEXT.encode_utf16().flat_map(u16::to_be_bytes).collect())), BTreeSet::from(["UTF-16BE"]));
        assert_eq!(canary().forms_in(b"q7f3-secret?>of no valu"), BTreeSet::new());
    }

    #[test]
    fn base64_is_found_wherever_in_a_longer_text_it_begins() {
        for before in ["", "p", "pa", "pas", "password="] {
            for after in ["", "\n", "\n\n", " and more"] {
                let text = format!("{before}{TEXT}{after}");
                assert!(!canary().forms_in(STANDARD_NO_PAD.encode(&text).as_bytes()).is_empty(), "{text:?}");
                assert!(!canary().forms_in(URL_SAFE_NO_PAD.encode(&text).as_bytes()).is_empty(), "{text:?}");
            }
        }
    }

    #[test]
    fn a_folder_is_searched_in_its_depth_across_pieces_and_in_what_is_compressed() {
        let folder = std::env::temp_dir().join(format!("canary-{}", std::process::id()));
        fs::create_dir_all(folder.join("a/b")).unwrap();
        let edge = [vec![b'x'; PIECE - 5], TEXT.into(), vec![b'x'; PIECE]].concat();
        fs::write(folder.join("a/b/edge"), edge).unwrap();
        fs::write(folder.join("a/log"), TEXT).unwrap();
        assert!(Command::new("gzip").arg(folder.join("a/log")).status().unwrap().success());
        File::create(folder.join("nothing")).unwrap().write_all(b"nothing").unwrap();
        let searched = canary().below(std::slice::from_ref(&folder)).unwrap();
        assert_eq!((searched.files, searched.findings.len()), (3, 2), "{:?}", searched.findings);
        assert!(searched.found_nothing("there", 1).is_err());
        fs::remove_dir_all(folder).unwrap();
    }
}
