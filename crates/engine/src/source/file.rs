//! A file: a blob, and the format that makes rows of it.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use api::import_job;
use async_trait::async_trait;
use connect::Span;

use super::blob::{Blob, BlobError, Identity, Turn, Turns, ahead, paced, whole};
use super::packed::{Packing, unpack};
use super::peek::peek;
use super::random_access::Content;
use super::{FileError, Format, QueryError, ReadError, Rows, Source, Start, Zoneless, kind};
use crate::Memory;
use crate::load::Reread;

/// What a job says of its file; what is absent is detected.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// How the file is read.
    pub format: Option<import_job::Format>,
    /// Which file of an archive is read: its name, where `*` stands for any characters.
    pub member: Option<String>,
    /// What times of a workbook are, which has no zones.
    pub zoneless: Zoneless,
}

impl From<&import_job::Source> for Said {
    fn from(source: &import_job::Source) -> Self {
        let format = source.format().and_then(|(format, _)| format.cloned());
        Self { format, member: source.member().map(str::to_owned), zoneless: Zoneless::from(source) }
    }
}

/// A [`Source`] whose rows stand in a file.
pub struct FileSource {
    blob: Arc<dyn Blob>,
    said: Said,
    memory: Memory,
    /// What the blob was when it was first opened.
    first: OnceLock<Identity>,
    /// What the last run read, which is not read again.
    known: Option<Identity>,
    /// Of several that match, each is read once.
    turns: Option<Turns>,
    /// Nothing of it is remembered for other attempts and runs.
    is_of_one_run: bool,
}

impl FileSource {
    /// The file in this blob, as the job says that it is read.
    pub fn new(blob: impl Blob + 'static, said: Said) -> Self {
        Self {
            blob: Arc::new(blob),
            said,
            memory: Memory::default(),
            first: OnceLock::new(),
            known: None,
            turns: None,
            is_of_one_run: false,
        }
    }

    /// Of a file that has to be held, no more is than fits into this.
    #[must_use]
    pub fn within(self, memory: Memory) -> Self {
        Self { memory, ..self }
    }

    /// No other run reads the file, and all attempts of this one are given the same.
    #[must_use]
    pub fn of_one_run(self) -> Self {
        Self { is_of_one_run: true, ..self }
    }

    /// The file that the last run has read is not read again while it stays the same. `bookmark`: what that file was, if there was one.
    #[must_use]
    pub fn unless(self, bookmark: &[String]) -> Self {
        // Of the same length it may still be another one.
        Self { known: Identity::of(bookmark).filter(|known| known.version.is_some()), ..self }
    }

    /// Of the files that match, the oldest that was not read yet. `bookmark`: which were read.
    #[must_use]
    pub fn in_turn(self, bookmark: &[String]) -> Self {
        Self { turns: Some(Turns::of(bookmark)), ..self }
    }

    fn turn(&self) -> Option<&Turn> {
        self.turns.as_ref()?.found()
    }
}

#[async_trait]
impl Source for FileSource {
    /// Records have no keys that could be gone on behind. Whether a later attempt finds the same bytes, the loader tells by the rows, too.
    fn reread(&self) -> Reread {
        Reread::FromStart
    }

    fn origin(&self) -> Vec<String> {
        self.first.get().filter(|_| !self.is_of_one_run).map(Identity::texts).unwrap_or_default()
    }

    fn name(&self) -> Option<String> {
        self.first.get()?.name.clone()
    }

    fn reached(&self) -> Vec<String> {
        self.turn().map_or_else(|| self.origin(), |turn| turn.read.clone())
    }

    fn left(&self) -> u64 {
        self.turn().map_or(0, |turn| turn.left)
    }

    async fn open(&self, start: &Start, used: &BTreeSet<String>) -> Result<Box<dyn Rows>, ReadError> {
        if let Start::Behind { key, .. } = start {
            return Err(QueryError::KeyShape { expected: 0, found: key.len() }.into());
        }
        let again = match start {
            Start::Again { origin } => Identity::of(origin),
            _ => None,
        };
        let known = self.first.get().or(again.as_ref()).cloned();
        let told = self.said.format.as_ref().map(Format::compile).transpose()?;
        let identity = self.blob.identity(known.as_ref().and_then(|known| known.name.as_deref()), self.turns.as_ref()).await?;
        // What an attempt of this run has begun to read is new to it.
        if *start == Start::First && self.known.as_ref() == Some(&identity) {
            return Err(FileError::NothingNew { file: identity.name.clone() }.into());
        }
        let first = self.first.get_or_init(|| known.unwrap_or_else(|| identity.clone()));
        if *first != identity {
            return Err(BlobError::Changed.into());
        }
        let bytes = self.blob.open(Span::ALL, &identity).await?;
        let (head, bytes) = peek(paced(whole(ahead(bytes), identity.length))).await?;
        let member = self.said.member.as_deref();
        let packing = match member {
            None => Packing::of(&head),
            Some(_) if kind::zipped(&head).is_some() => Some(Packing::Zip),
            Some(_) => return Err(FileError::NoArchive.into()),
        };
        let content = |bytes| Content::of(bytes, self.blob.clone(), identity.clone());
        let (head, content) = match packing {
            Some(packing) => {
                let (head, bytes) = peek(unpack(packing, content(bytes), member, self.memory).await?).await?;
                (head, Content::from(bytes))
            }
            None => (head, content(bytes)),
        };
        Format::of(told, &head).rows(content, used, self.memory, self.said.zoneless).await
    }
}
