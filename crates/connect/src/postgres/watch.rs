//! What a server sends, looked at before the client library sees it. The library answers whatever authentication is asked for and keeps
//! whatever is announced, so both are decided here: nothing but SCRAM is answered, and no message is let through that is longer than its
//! purpose needs. A message that is refused never reaches the library, not even its head.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsStream};

/// Everything up to the end of the login: a server's own greeting has less than 2 KiB in some twenty messages.
const LOGIN_BYTES: usize = 1 << 20;
const LOGIN_MESSAGES: usize = 1_000;

/// One message after the login. A row is one: Salesforce takes 400,000 characters of it, and escapes double them.
const MESSAGE_BYTES: usize = 16 << 20;

/// Settings that a server reports later on, all of them together.
const SETTING_BYTES: usize = 1 << 20;

/// RFC 7677 asks for at least 4,096. With fewer rounds the server could try passwords against our proof; with many, computing it holds
/// a thread for as long as the server likes.
const SCRAM_ROUNDS: std::ops::RangeInclusive<u32> = 4_096..=600_000;

/// Type and length.
const HEAD: usize = 5;

/// Why a server's message was not let through.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("it asks for the password {0}")]
    Password(&'static str),
    #[error("it asks for {0} SCRAM rounds, {min} to {max} are computed", min = SCRAM_ROUNDS.start(), max = SCRAM_ROUNDS.end())]
    Rounds(u64),
    #[error("it sends more than {LOGIN_BYTES} bytes or {LOGIN_MESSAGES} messages before it has let us in")]
    Greeting,
    #[error("it announces a message of {0} bytes, at most {MESSAGE_BYTES} are read: a row must be shorter")]
    Message(u64),
    #[error("it reports more than {SETTING_BYTES} bytes of settings")]
    Settings,
    #[error("it announces a message of {0} bytes, shorter than its own length")]
    Length(u32),
}

/// Follows the messages through the bytes, wherever a read cuts them.
pub(super) struct Watch {
    /// The password may be sent as it is, and as MD5.
    any_password: bool,
    logged_in: bool,
    login_bytes: usize,
    login_messages: usize,
    setting_bytes: usize,
    head: [u8; HEAD],
    head_filled: usize,
    /// What has not come yet of the message under way.
    left: usize,
    /// The authentication message under way.
    asked: Option<Vec<u8>>,
}

impl Watch {
    pub(super) fn new(any_password: bool) -> Self {
        Self {
            any_password,
            logged_in: false,
            login_bytes: 0,
            login_messages: 0,
            setting_bytes: 0,
            head: [0; HEAD],
            head_filled: 0,
            left: 0,
            asked: None,
        }
    }

    /// Looks at what was read; the caller hands it on only if this succeeds.
    fn look(&mut self, mut bytes: &[u8]) -> Result<(), Refusal> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let (body, rest) = bytes.split_at(self.left.min(bytes.len()));
                if let Some(asked) = &mut self.asked {
                    asked.extend_from_slice(body);
                }
                self.left -= body.len();
                bytes = rest;
            } else {
                let (part, rest) = bytes.split_at((HEAD - self.head_filled).min(bytes.len()));
                self.head[self.head_filled..self.head_filled + part.len()].copy_from_slice(part);
                self.head_filled += part.len();
                bytes = rest;
                if self.head_filled < HEAD {
                    return Ok(());
                }
                self.head_filled = 0;
                self.begin()?;
            }
            if self.left == 0
                && let Some(asked) = self.asked.take()
            {
                self.authentication(&asked)?;
            }
        }
        Ok(())
    }

    /// A message is announced.
    fn begin(&mut self) -> Result<(), Refusal> {
        let [tag, length @ ..] = self.head;
        let length = u32::from_be_bytes(length);
        // The length counts itself and not the type.
        self.left = length.checked_sub(4).ok_or(Refusal::Length(length))? as usize;
        if self.logged_in {
            if self.left > MESSAGE_BYTES {
                return Err(Refusal::Message(self.left as u64));
            }
            if tag == b'S' {
                self.setting_bytes += self.left;
                return if self.setting_bytes > SETTING_BYTES { Err(Refusal::Settings) } else { Ok(()) };
            }
            return Ok(());
        }
        self.login_messages += 1;
        self.login_bytes = self.login_bytes.saturating_add(HEAD).saturating_add(self.left);
        if self.login_bytes > LOGIN_BYTES || self.login_messages > LOGIN_MESSAGES {
            return Err(Refusal::Greeting);
        }
        match tag {
            b'R' => self.asked = Some(Vec::with_capacity(self.left.min(1024))),
            b'Z' => self.logged_in = true,
            _ => {}
        }
        Ok(())
    }

    /// The library would answer each of these.
    fn authentication(&self, asked: &[u8]) -> Result<(), Refusal> {
        let Some((code, rest)) = asked.split_first_chunk::<4>() else { return Ok(()) };
        match u32::from_be_bytes(*code) {
            3 if !self.any_password => Err(Refusal::Password("in clear")),
            5 if !self.any_password => Err(Refusal::Password("as MD5")),
            // SASLContinue: `r=…,s=…,i=4096`.
            11 => match rest.split(|byte| *byte == b',').find_map(|part| part.strip_prefix(b"i=")).map(std::str::from_utf8) {
                Some(Ok(rounds)) => {
                    let rounds: u64 = rounds.trim().parse().unwrap_or(u64::MAX);
                    if u32::try_from(rounds).is_ok_and(|rounds| SCRAM_ROUNDS.contains(&rounds)) {
                        Ok(())
                    } else {
                        Err(Refusal::Rounds(rounds))
                    }
                }
                // The library refuses it.
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

/// A stream whose messages are watched. What was refused is kept where the session finds it: the library only says that the connection
/// ended.
pub(super) struct Watched<S> {
    pub(super) stream: S,
    pub(super) watch: Watch,
    pub(super) refusal: Arc<OnceLock<Refusal>>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let looked = self.watch.look(&buf.filled()[before..]);
        Poll::Ready(looked.map_err(|refusal| std::io::Error::other(self.refusal.get_or_init(|| refusal).clone())))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: TlsStream + Unpin> TlsStream for Watched<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.stream.channel_binding()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        [&[tag][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat()
    }

    fn announced(tag: u8, length: u32) -> Vec<u8> {
        [&[tag][..], &length.to_be_bytes()].concat()
    }

    fn asks(code: u32, rest: &[u8]) -> Vec<u8> {
        message(b'R', &[&code.to_be_bytes()[..], rest].concat())
    }

    /// The verdict does not depend on how the bytes arrive.
    fn verdict(any_password: bool, bytes: &[u8]) -> Result<(), Refusal> {
        let mut verdicts: Vec<Result<(), Refusal>> = [1, 2, 3, 7, bytes.len().max(1)]
            .into_iter()
            .map(|part| {
                let mut watch = Watch::new(any_password);
                bytes.chunks(part).try_for_each(|part| watch.look(part))
            })
            .collect();
        verdicts.dedup();
        assert_eq!(verdicts.len(), 1, "{verdicts:?}");
        verdicts.remove(0)
    }

    fn let_in() -> Vec<u8> {
        [asks(0, b""), message(b'S', b"server_version\x0015\0"), message(b'K', &[0; 8]), message(b'Z', b"I")].concat()
    }

    #[test]
    fn a_password_is_asked_for_only_where_that_was_allowed() {
        assert_eq!(verdict(false, &asks(3, b"")), Err(Refusal::Password("in clear")));
        assert_eq!(verdict(false, &asks(5, b"salt")), Err(Refusal::Password("as MD5")));
        assert_eq!(verdict(true, &asks(3, b"")), Ok(()));
        assert_eq!(verdict(true, &asks(5, b"salt")), Ok(()));
        assert_eq!(verdict(false, &asks(10, b"SCRAM-SHA-256\0\0")), Ok(()));
    }

    #[test]
    fn scram_costs_the_server_enough_and_us_not_too_much() {
        let rounds = |text: &str| verdict(false, &asks(11, format!("r=abc,s=QQ==,i={text}").as_bytes()));
        for fine in ["4096", "119680", "600000"] {
            assert_eq!(rounds(fine), Ok(()), "{fine}");
        }
        assert_eq!(rounds("1"), Err(Refusal::Rounds(1)));
        assert_eq!(rounds("4294967295"), Err(Refusal::Rounds(4_294_967_295)));
        assert_eq!(rounds("99999999999999999999"), Err(Refusal::Rounds(u64::MAX)));
    }

    #[test]
    fn a_greeting_ends_or_is_refused_before_it_is_read() {
        assert_eq!(verdict(false, &let_in()), Ok(()));
        assert_eq!(verdict(false, &announced(b'R', u32::MAX)), Err(Refusal::Greeting));
        assert_eq!(verdict(false, &announced(b'S', 2 << 20)), Err(Refusal::Greeting));
        assert_eq!(verdict(false, &message(b'N', &[0; 1000]).repeat(1100)), Err(Refusal::Greeting));
        assert_eq!(verdict(false, &message(b'S', b"a\0b\0").repeat(1001)), Err(Refusal::Greeting));
        assert_eq!(verdict(false, &message(b'S', b"a\0b\0").repeat(1000)), Ok(()));
        assert_eq!(verdict(false, &announced(b'R', 3)), Err(Refusal::Length(3)));
    }

    #[test]
    fn after_the_login_a_row_has_room_and_an_endless_one_has_not() {
        let after = |rest: &[u8]| verdict(false, &[&let_in(), rest].concat());
        assert_eq!(after(&message(b'd', &[b'x'; 2 << 20])), Ok(()));
        assert_eq!(after(&message(b'd', b"row\n").repeat(2000)), Ok(()), "rows are not counted");
        assert_eq!(after(&announced(b'd', (16 << 20) + 5)), Err(Refusal::Message((16 << 20) + 1)));
        assert_eq!(after(&announced(b'd', u32::MAX)), Err(Refusal::Message(u64::from(u32::MAX) - 4)));
        assert_eq!(after(&message(b'S', &[0; 100_000]).repeat(11)), Err(Refusal::Settings));
    }
}
