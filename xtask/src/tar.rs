//! Archives whose bytes depend on nothing but what is in them.

use std::io::Write;

use anyhow::Result;

const BLOCK: usize = 512;

/// A tar archive in the ustar form: everything belongs to root and dates from 1970.
#[derive(Default)]
pub(crate) struct Tar {
    bytes: Vec<u8>,
    directories: Vec<String>,
}

impl Tar {
    /// Entries of the folders that a name lies in, each once.
    fn directories_of(&mut self, name: &str) -> Result<()> {
        let ends: Vec<usize> = name.match_indices('/').map(|(at, _)| at + 1).collect();
        for end in ends {
            let directory = name[..end].to_owned();
            if !self.directories.contains(&directory) {
                self.entry(&directory, b'5', 0o755, 0)?;
                self.directories.push(directory);
            }
        }
        Ok(())
    }

    /// A file, and the folders that it lies in.
    pub(crate) fn file(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<()> {
        self.directories_of(name)?;
        self.entry(name, b'0', mode, content.len())?;
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(BLOCK), 0);
        Ok(())
    }

    fn entry(&mut self, name: &str, kind: u8, mode: u32, size: usize) -> Result<()> {
        anyhow::ensure!(name.len() <= 100, "{name} is too long a name for the archive");
        let mut header = [0_u8; BLOCK];
        let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, name);
        put(100, &format!("{mode:07o}"));
        put(108, "0000000");
        put(116, "0000000");
        put(124, &format!("{size:011o}"));
        put(136, "00000000000");
        put(148, "        ");
        put(257, "ustar\x0000");
        header[156] = kind;
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        (&mut header[148..156]).write_all(format!("{sum:06o}\0 ").as_bytes())?;
        self.bytes.extend_from_slice(&header);
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 2 * BLOCK, 0);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_come_before_what_is_in_them_and_once() {
        let mut tar = Tar::default();
        for name in ["a/b/one", "a/b/two"] {
            tar.file(name, 0o644, b"x").unwrap();
        }
        assert_eq!(tar.directories, ["a/", "a/b/"]);
    }
}
