//! What a process may use, and how much of it goes where. A worker's pod has one setting, `worker.memory`, and everything is a part of it: a
//! pod that is given more takes larger files, and one that is given less refuses them instead of being killed.

use crate::load::ChunkLimits;

/// Of it, what a file takes that is held as a whole: a quarter as it came, and as much again for what is unpacked of it at a time.
const HELD: u64 = 2;

/// Chunks that are under way, each with its rows as they were read and as they are sent, are ten of these at most: four and the one that is
/// built.
const CHUNKS: u64 = 16;

/// Of a process whose memory has no limit that is known: files of 256 MiB.
const UNKNOWN: u64 = 1 << 30;

/// The memory of a process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Bytes; absent when no limit is known.
    limit: Option<u64>,
    /// Input bytes of a chunk, if they are not a part of the rest.
    chunk: Option<u64>,
}

impl Memory {
    /// `limit`: bytes, if a limit is known.
    pub const fn of(limit: Option<u64>) -> Self {
        Self { limit, chunk: None }
    }

    /// Chunks take so many input bytes, whatever there is.
    #[must_use]
    pub fn with_chunks_of(self, input_bytes: Option<u64>) -> Self {
        Self { chunk: input_bytes, ..self }
    }

    /// Bytes of a file that is held as it came.
    pub fn file(self) -> usize {
        self.held() / 2
    }

    /// Bytes of such a file, and of what is unpacked of it at a time.
    pub fn held(self) -> usize {
        usize::try_from(self.limit.unwrap_or(UNKNOWN) / HELD).unwrap_or(usize::MAX)
    }

    /// Bytes of the texts that the cells of a workbook share, beside the file.
    pub fn texts(self) -> usize {
        self.held() - self.file()
    }

    /// When a chunk of rows is full. `holds`: a file is held meanwhile.
    pub(crate) fn chunks(self, holds: bool) -> ChunkLimits {
        let part = |limit: u64| if holds { limit - limit / HELD } else { limit } / CHUNKS;
        let input_bytes = self.chunk.unwrap_or_else(|| self.limit.map_or(0, part).max(ChunkLimits::DEFAULT_INPUT_BYTES));
        ChunkLimits { input_bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_a_part_of_one_setting() {
        let told =
            |memory: Memory| (memory.file() >> 20, memory.held() >> 20, [false, true].map(|holds| memory.chunks(holds).input_bytes >> 20));
        assert_eq!(told(Memory::of(Some(256 << 20))), (64, 128, [16, 8]));
        assert_eq!(told(Memory::of(Some(1 << 30))), (256, 512, [64, 32]));
        assert_eq!(told(Memory::of(Some(64 << 20))), (16, 32, [4, 4]));
        assert_eq!(told(Memory::default()), (256, 512, [4, 4]));
        let small = Memory::of(Some(256 << 20)).with_chunks_of(Some(2_000));
        assert_eq!((small.file() >> 20, small.chunks(true).input_bytes), (64, 2_000));
    }

    #[test]
    fn what_is_held_and_what_is_under_way_fit_into_it_together() {
        for mebibytes in [128, 256, 512, 4096] {
            let memory = Memory::of(Some(mebibytes << 20));
            let under_way = |holds| 10 * memory.chunks(holds).input_bytes;
            let program = 24 << 20;
            assert!(memory.held() as u64 + under_way(true) + program <= mebibytes << 20, "{mebibytes}");
            assert!(under_way(false) + program <= mebibytes << 20, "{mebibytes}");
        }
    }
}
