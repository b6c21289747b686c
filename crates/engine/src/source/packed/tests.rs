use std::io::{Cursor, Write};

use ::zip::write::SimpleFileOptions;
use ::zip::{CompressionMethod, ZipWriter};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::stream;

use super::*;

/// With threads that may block.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn stream_of(bytes: &[u8], piece: usize) -> ByteStream {
    let pieces: Vec<io::Result<Bytes>> = bytes.chunks(piece).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    stream::iter(pieces).boxed()
}

fn drain(mut bytes: ByteStream) -> Result<Vec<u8>, ReadError> {
    block_on(async move {
        let mut all = Vec::new();
        while let Some(piece) = bytes.next().await.transpose()? {
            all.extend_from_slice(&piece);
        }
        Ok(all)
    })
}

/// What the tests may use.
fn memory() -> Memory {
    Memory::of(Some(64 << 20))
}

fn unpacked(bytes: &[u8], piece: usize, member: Option<&str>) -> Result<Vec<u8>, ReadError> {
    let packing = Packing::of(bytes).expect("the file is packed");
    drain(block_on(unpack(packing, stream_of(bytes, piece).into(), member, memory()))?)
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &[u8]) -> Vec<u8> {
    // With a sum at its end, as the program zstd writes it.
    let parameters = [async_compression::zstd::CParameter::checksum_flag(true)];
    let level = async_compression::Level::Default;
    block_on(read_all(async_compression::tokio::bufread::ZstdEncoder::with_quality_and_params(text, level, &parameters)))
}

async fn read_all(mut reader: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut all = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut all).await.unwrap();
    all
}

fn archive(files: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in files {
        writer.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        writer.write_all(text).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn told(result: Result<Vec<u8>, ReadError>) -> String {
    result.map(|found| String::from_utf8_lossy(&found).into_owned()).unwrap_or_else(|error| error.to_string())
}

/// Text that does not repeat itself much.
fn table() -> Vec<u8> {
    (0..40_000u64).map(|n| format!("{n},{}\n", n.wrapping_mul(0x9E37_79B9_7F4A_7C15))).collect::<String>().into_bytes()
}

#[test]
fn what_is_packed_comes_out_whatever_the_pieces() {
    let table = table();
    for packed in [
        gzip(&table),
        zstd(&table),
        archive(&[("a.csv", &table)], CompressionMethod::Deflated),
        archive(&[("a.csv", &table)], CompressionMethod::Stored),
    ] {
        for piece in [1, 7, 4096, 1 << 20] {
            assert!(unpacked(&packed, piece, None).unwrap() == table, "{:?} in pieces of {piece}", Packing::of(&packed));
        }
    }
    assert_eq!(Packing::of(b"a,b\n"), None);
}

#[test]
fn files_that_were_packed_one_by_one_and_joined_are_one() {
    for pack in [gzip, zstd] {
        assert_eq!(told(unpacked(&[pack(b"a,b\n"), pack(b"1,2\n")].concat(), 5, None)), "a,b\n1,2\n");
    }
    // Zstandard's frames for other things hold no text.
    let skippable = [b"\x50\x2A\x4D\x18\x03\0\0\0xyz".as_slice(), &zstd(b"a,b\n")].concat();
    assert_eq!(told(unpacked(&skippable, 5, None)), "a,b\n");
}

#[test]
fn what_is_cut_off_or_damaged_is_told_and_waiting_does_not_help() {
    let table = table();
    for packed in [gzip(&table), zstd(&table), archive(&[("a.csv", &table)], CompressionMethod::Deflated)] {
        for broken in [packed[..packed.len() / 2].to_vec(), packed[..packed.len() - 1].to_vec(), damaged(&packed)] {
            let what = Packing::of(&packed);
            let error = unpacked(&broken, 4096, None).map(|all| format!("{what:?}, {} bytes of {}", all.len(), table.len())).unwrap_err();
            assert!(error.to_string().contains("cannot be unpacked"), "{error}");
            assert_eq!(error.remedy(), crate::source::Remedy::Correct);
        }
    }
}

/// With another byte in its middle.
fn damaged(packed: &[u8]) -> Vec<u8> {
    let mut damaged = packed.to_vec();
    damaged[packed.len() / 2] ^= 0x55;
    damaged
}

#[test]
fn what_breaks_on_its_way_is_no_damage_of_the_file() {
    let packed = gzip(&table());
    let pieces = vec![Ok(Bytes::copy_from_slice(&packed[..1000])), Err(io::Error::from(io::ErrorKind::ConnectionReset))];
    let error = drain(block_on(unpack(Packing::Gzip, stream::iter(pieces).boxed().into(), None, memory())).unwrap()).unwrap_err();
    assert!(error.is_transient(), "{error}");
    let pieces = vec![Ok(Bytes::copy_from_slice(&packed[..1000])), Err(io::Error::other(BlobError::Changed))];
    let error = drain(block_on(unpack(Packing::Gzip, stream::iter(pieces).boxed().into(), None, memory())).unwrap()).unwrap_err();
    assert!(matches!(error, ReadError::Blob(BlobError::Changed)), "{error}");
}

#[test]
fn one_file_of_an_archive_is_read_and_the_system_s_own_are_none() {
    let pack = |files: &[(&str, &[u8])]| archive(files, CompressionMethod::Deflated);
    let one = pack(&[("exports/", b""), ("exports/a.csv", b"a"), ("__MACOSX/exports/._a.csv", b"x"), ("exports/.DS_Store", b"x")]);
    assert_eq!(told(unpacked(&one, 9, None)), "a");
    let two = pack(&[("a.csv", b"a"), ("b.csv", b"b"), ("notes.txt", b"n")]);
    for (member, expected) in [
        (Some("b.csv"), "b"),
        (Some("n*"), "n"),
        (
            None,
            "the file is a ZIP archive with 3 files (\"a.csv\", \"b.csv\", \"notes.txt\"); name the one that is meant in the source's `member`",
        ),
        (Some("*.csv"), "`member` matches 2 files in the ZIP archive (\"a.csv\", \"b.csv\"); it must be one"),
        (Some("c.csv"), "`member` matches none of the files in the ZIP archive (\"a.csv\", \"b.csv\", \"notes.txt\")"),
    ] {
        assert_eq!(told(unpacked(&two, 9, member)), expected);
    }
    assert_eq!(
        told(unpacked(&pack(&[("x/", b"")]), 9, None)),
        "the file is a ZIP archive without a file in it; pack the file that is meant"
    );
    assert_eq!(told(unpacked(&pack(&[]), 9, None)), "the file is a ZIP archive without a file in it; pack the file that is meant");
}

#[test]
fn an_archive_whose_files_cannot_be_read_says_why() {
    let mut encrypted = archive(&[("a.csv", b"a")], CompressionMethod::Stored);
    // The flag of encryption, in the entry and in the list.
    let list = encrypted.windows(4).position(|four| four == b"PK\x01\x02").unwrap();
    encrypted[6] |= 1;
    encrypted[list + 8] |= 1;
    assert_eq!(told(unpacked(&encrypted, 9, None)), "the file in the ZIP archive is protected with a password; pack it without one");
    let mut other = archive(&[("a.csv", b"a")], CompressionMethod::Stored);
    // LZMA.
    other[8] = 14;
    other[list + 10] = 14;
    assert!(told(unpacked(&other, 9, None)).starts_with("the file in the ZIP archive is packed by "));
}

#[test]
fn an_archive_is_bounded_in_size_and_in_files() {
    let names: Vec<String> = (0..10_001).map(|number| number.to_string()).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), b"".as_slice())).collect();
    let error = unpacked(&archive(&files, CompressionMethod::Stored), 1 << 20, Some("7")).unwrap_err();
    assert_eq!(
        (error.to_string().as_str(), error.remedy()),
        ("the file is a ZIP archive with more than 10000 files; take the one that is meant out of it", crate::source::Remedy::Shorten)
    );
    assert_eq!(told(unpacked(&archive(&files[..10_000], CompressionMethod::Stored), 1 << 20, Some("7"))), "", "control");
    let large = vec![0x5A; memory().file()];
    let error = unpacked(&archive(&[("a.csv", &large)], CompressionMethod::Stored), 1 << 20, None).unwrap_err();
    assert!(error.to_string().starts_with("the file is a ZIP archive of more than 16 MiB"), "{error}");
}

#[test]
fn a_bomb_ends_soon_and_a_table_that_repeats_itself_does_not() {
    // A small one must do here.
    let bounds = Bounds { harmless: 1 << 20, ..BOUNDS };
    let within = |packed: &[u8]| {
        let packing = Packing::of(packed).unwrap();
        drain(block_on(unpack_within(bounds, packing, stream_of(packed, 4096).into(), None, memory()))?).map(|all| all.len())
    };
    let zeros = vec![b'\n'; 4 << 20];
    for packed in [gzip(&zeros), zstd(&zeros), archive(&[("a.csv", &zeros)], CompressionMethod::Deflated)] {
        let error = within(&packed).unwrap_err().to_string();
        assert!(error.ends_with("unpacks to more than 200 times its size; unpack it yourself, and look at what is in it"), "{error}");
    }
    assert_eq!(within(&gzip(&zeros[..1 << 20])).unwrap(), 1 << 20);
    // Sparse, as an export of five hundred columns of which few are filled.
    let sparse: String = (0..8000).map(|n| format!("{}{n}{}\n", ",".repeat(300), ",".repeat(200))).collect();
    assert_eq!(within(&gzip(sparse.as_bytes())).unwrap(), sparse.len());
}

#[test]
fn a_frame_that_wants_much_memory_is_refused() {
    let table = table();
    let pack = |window| {
        let parameters = [async_compression::zstd::CParameter::window_log(window)];
        let encoder = async_compression::tokio::bufread::ZstdEncoder::with_quality_and_params(
            table.as_slice(),
            async_compression::Level::Fastest,
            &parameters,
        );
        block_on(read_all(encoder))
    };
    assert!(unpacked(&pack(27), 4096, None).unwrap_err().to_string().contains("cannot be unpacked"));
    assert!(unpacked(&pack(23), 4096, None).unwrap() == table, "control");
}
