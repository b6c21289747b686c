//! Requests to one server of files and their answers, each with its time. What is said of a failure names the server.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use reqwest::{RequestBuilder, Response};
use tokio::time::Sleep;

use crate::error::{Diagnosis, Error, diagnose};
use crate::https::Https;
use crate::reasons;

/// From the request to the head of the answer, besides what a body of ours takes.
pub(crate) const ANSWER: Duration = Duration::from_secs(30);

/// How long the next piece of a body may take while it is waited for.
const PIECE: Duration = Duration::from_secs(30);

/// Whom is asked, and how.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) https: Https,
    /// Whom errors name.
    pub(crate) target: Arc<str>,
}

impl Peer {
    /// The head of the answer, which comes within `limit`.
    pub(crate) async fn send(&self, request: RequestBuilder, limit: Duration) -> Result<Response, Error> {
        let answer = tokio::time::timeout(limit, request.send()).await.map_err(|_| self.timed_out(limit))?;
        answer.map_err(|error| self.failed(&error))
    }

    pub(crate) fn failed(&self, error: &(dyn StdError + 'static)) -> Error {
        let Diagnosis { reason, text, transient } = diagnose(error);
        let target = &*self.target;
        match reason {
            reasons::TLS_REFUSED => Error::Tls { target: target.to_owned(), reason: text },
            reasons::UNREACHABLE if !text.contains(target) => Error::Exchange(Diagnosis {
                reason,
                text: format!("the exchange with {target} broke off ({text}): it may succeed later"),
                transient,
            }),
            _ => Error::Exchange(Diagnosis { reason, text, transient }),
        }
    }

    pub(crate) fn timed_out(&self, after: Duration) -> Error {
        Error::TimedOut { target: self.target.to_string(), after }
    }
}

/// The body of an answer, each piece within its time. Nothing is counted while nobody waits for a piece.
pub(crate) struct Pieces<E> {
    body: reqwest::Body,
    waited: Option<Pin<Box<Sleep>>>,
    peer: Peer,
    error: fn(Error) -> E,
}

impl<E> Pieces<E> {
    /// `error` makes the caller's error of ours.
    pub(crate) fn new(body: reqwest::Body, peer: Peer, error: fn(Error) -> E) -> Self {
        Self { body, waited: None, peer, error }
    }
}

impl<E> Body for Pieces<E> {
    type Data = Bytes;
    type Error = E;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, E>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            this.waited = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(|error| (this.error)(this.peer.failed(&error)))));
        }
        let waited = this.waited.get_or_insert_with(|| Box::pin(tokio::time::sleep(PIECE)));
        ready!(waited.as_mut().poll(context));
        Poll::Ready(Some(Err((this.error)(this.peer.timed_out(PIECE)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
