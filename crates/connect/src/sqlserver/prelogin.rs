//! The first message of each side: the wish for TLS, and the server's answer, which tells its version.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Type, status, length of all, channel, number, window.
pub(super) const HEAD: usize = 8;

/// The type of what a client sends before it logs in; TLS inside of TDS travels in it, both ways.
pub(super) const PRELOGIN: u8 = 0x12;

/// The type of what a server answers.
const ANSWER: u8 = 0x04;

/// A message ends with the packet that says so.
pub(super) const END: u8 = 0x01;

/// What is read of an answer: a server's has some forty bytes.
const LONGEST: usize = 4096;

const VERSION: u8 = 0;
const ENCRYPTION: u8 = 1;
const INSTANCE: u8 = 2;
const THREAD: u8 = 3;
const SEVERAL_AT_A_TIME: u8 = 4;
const LAST: u8 = 0xFF;

/// What a side says of TLS inside of TDS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Encryption {
    /// All of the session.
    On,
    /// None inside of TDS: because there is none at all, or because all of TDS is inside of TLS.
    NotInside,
}

/// What a server says of itself.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Answer {
    /// e.g. `16.0.4131`.
    pub(super) version: String,
    /// The whole session will be encrypted.
    pub(super) encrypts: bool,
}

/// Asks and hears the answer. Nothing else is read or sent.
pub(super) async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, wish: Encryption) -> io::Result<Answer> {
    stream.write_all(&message(PRELOGIN, wish)).await?;
    stream.flush().await?;
    let mut head = [0; HEAD];
    stream.read_exact(&mut head).await?;
    let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
    let fits = matches!(head[0], ANSWER | PRELOGIN) && head[1] & END != 0 && (HEAD..=LONGEST).contains(&length);
    if !fits {
        return Err(nonsense());
    }
    let mut body = vec![0; length - HEAD];
    stream.read_exact(&mut body).await?;
    read(&body).ok_or_else(nonsense)
}

/// What a client library is told that greets by itself: there is nothing left to be said of TLS.
pub(super) fn answer_to_a_library() -> Vec<u8> {
    message(ANSWER, Encryption::NotInside)
}

fn nonsense() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "its first answer is none of TDS")
}

fn message(kind: u8, wish: Encryption) -> Vec<u8> {
    let wish = match wish {
        Encryption::On => 1,
        Encryption::NotInside => 2,
    };
    let options: [(u8, &[u8]); 5] =
        [(VERSION, &[0; 6]), (ENCRYPTION, &[wish]), (INSTANCE, &[0]), (THREAD, &[0; 4]), (SEVERAL_AT_A_TIME, &[0])];
    let mut place = options.len() * 5 + 1;
    let (mut table, mut values) = (Vec::new(), Vec::new());
    for (option, value) in options {
        table.push(option);
        table.extend_from_slice(&(place as u16).to_be_bytes());
        table.extend_from_slice(&(value.len() as u16).to_be_bytes());
        values.extend_from_slice(value);
        place += value.len();
    }
    table.push(LAST);
    let length = (HEAD + table.len() + values.len()) as u16;
    let [high, low] = length.to_be_bytes();
    [&[kind, END, high, low, 0, 0, 1, 0][..], &table, &values].concat()
}

/// A table of options, each with the place and the length of its value.
fn read(body: &[u8]) -> Option<Answer> {
    let (mut version, mut encrypts) = (None, None);
    let mut table = body;
    loop {
        let (option, rest) = table.split_first()?;
        if *option == LAST {
            break;
        }
        let (place, rest) = rest.split_first_chunk::<4>()?;
        table = rest;
        let from = usize::from(u16::from_be_bytes([place[0], place[1]]));
        let length = usize::from(u16::from_be_bytes([place[2], place[3]]));
        let value = body.get(from..from + length)?;
        match (*option, value) {
            (VERSION, [major, minor, build @ .., _, _]) => {
                let build = build.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
                version = Some(format!("{major}.{minor}.{build}"));
            }
            // On, and required. 0 would encrypt the login only.
            (ENCRYPTION, [said]) => encrypts = Some(matches!(said, 1 | 3)),
            _ => {}
        }
    }
    Some(Answer { version: version?, encrypts: encrypts? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_a_message_of_the_protocol() {
        let wish = message(PRELOGIN, Encryption::On);
        assert_eq!(wish[..HEAD], [0x12, 1, 0, wish.len() as u8, 0, 0, 1, 0]);
        // VERSION at 26, 6 bytes; ENCRYPTION at 32, 1 byte.
        assert_eq!(wish[HEAD..HEAD + 10], [0, 0, 26, 0, 6, 1, 0, 32, 0, 1]);
        assert_eq!(wish[HEAD + 32], 1);
        assert_eq!(read(&wish[HEAD..]), Some(Answer { version: "0.0.0".into(), encrypts: true }));
        assert_eq!(read(&answer_to_a_library()[HEAD..]), Some(Answer { version: "0.0.0".into(), encrypts: false }));
    }

    #[test]
    fn an_answer_is_read_wherever_its_values_stand_and_a_broken_one_is_none() {
        let body = [&[ENCRYPTION, 0, 17, 0, 1, VERSION, 0, 11, 0, 6, LAST][..], &[16, 0, 0x10, 0x23, 0, 0], &[3]].concat();
        assert_eq!(read(&body), Some(Answer { version: "16.0.4131".into(), encrypts: true }));
        for says_no in [0, 2] {
            let body = [&body[..17], &[says_no]].concat();
            assert_eq!(read(&body).map(|answer| answer.encrypts), Some(false));
        }
        for length in 0..body.len() {
            assert_eq!(read(&body[..length]), None, "{length}");
        }
        // A value that lies behind the end, and a table without one.
        assert_eq!(read(&[VERSION, 0xFF, 0xFF, 0xFF, 0xFF, LAST]), None);
        assert_eq!(read(&[VERSION, 0, 0, 0, 1]), None);
    }

    #[tokio::test]
    async fn an_answer_of_another_protocol_ends_it() {
        for says in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], &[ANSWER, END, 0xFF, 0xFF, 0, 0, 1, 0], &[ANSWER, END, 0, 7, 0, 0, 1, 0]] {
            let (mut ours, mut theirs) = tokio::io::duplex(1024);
            theirs.write_all(says).await.unwrap();
            let error = exchange(&mut ours, Encryption::On).await.unwrap_err();
            assert_eq!(error.to_string(), "its first answer is none of TDS");
        }
    }
}
