//! What time it is for everything that expires: the API server's time, carried on by a clock that never goes back. While this machine's
//! own clock is far off, nobody knows which of the two is right: what has had its time by the API server's goes, and nothing is served.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use http::Request;
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use kube::client::Body;

use super::error::{Error, Result, kube};

/// More than this between our clock and the server's and nothing is served.
const MAX_SKEW: SignedDuration = SignedDuration::from_secs(30);
/// The server names the second that has begun: it may be almost over.
const RESOLUTION: SignedDuration = SignedDuration::from_secs(1);

#[derive(Default)]
pub(crate) struct Clock {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    reading: Option<Reading>,
    latest: Option<Timestamp>,
    ahead: SignedDuration,
    /// How far this machine's clock is set wrong in a rehearsal.
    misset: SignedDuration,
}

#[derive(Clone, Copy)]
struct Reading {
    server: Timestamp,
    /// The server looked at its clock between the two.
    asked: Instant,
    at: Instant,
    skew: SignedDuration,
}

impl Clock {
    /// The server's time now, or a moment ago; never earlier than any answer before. What ends is ended by it, whatever our clock says.
    pub(crate) fn now(&self) -> Result<Timestamp> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).now(Instant::now())
    }

    /// What the server's time is now at the latest: what ends by then is not served any more. An error while the time is in doubt.
    pub(crate) fn at_latest(&self) -> Result<Timestamp> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).at_latest(Instant::now())
    }

    /// How far our clock is ahead of the server's, and whether that is too far.
    pub(crate) fn skew(&self) -> (SignedDuration, bool) {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let skew = inner.reading.map_or(SignedDuration::ZERO, |reading| reading.skew);
        (skew, skew.abs() > MAX_SKEW)
    }

    /// Asks the API server for its time.
    pub(crate) async fn read(&self, client: &Client) -> Result<()> {
        let request = Request::get("/version").body(Body::empty()).expect("a constant request is well-formed");
        let asked = Instant::now();
        let answer = client.send(request).await.map_err(kube("ask the API server for the time"))?;
        let date = answer.headers().get(http::header::DATE).and_then(|value| value.to_str().ok()).and_then(parse_date);
        let server = date.ok_or(Error::NoTime)?;
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let local = Timestamp::now() + inner.misset;
        inner.take(server, local, asked, Instant::now());
        Ok(())
    }

    /// Moves this clock ahead: how a rehearsal sees an hour pass.
    pub(crate) fn advance(&self, by: SignedDuration) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).ahead += by;
    }

    /// Sets this machine's clock wrong from the next reading on: how a rehearsal sees one that nobody keeps right.
    pub(crate) fn misset(&self, by: SignedDuration) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).misset = by;
    }
}

impl Inner {
    fn take(&mut self, server: Timestamp, local: Timestamp, asked: Instant, at: Instant) {
        self.reading = Some(Reading { server, asked, at, skew: local.duration_since(server) });
    }

    fn at_latest(&mut self, at: Instant) -> Result<Timestamp> {
        let now = self.now(at)?;
        let reading = self.reading.ok_or(Error::NoTime)?;
        if reading.skew.abs() > MAX_SKEW {
            return Err(Error::Skew { seconds: reading.skew.as_secs() });
        }
        Ok(now + RESOLUTION + SignedDuration::try_from(reading.at.saturating_duration_since(reading.asked)).unwrap_or(SignedDuration::MAX))
    }

    fn now(&mut self, at: Instant) -> Result<Timestamp> {
        let reading = self.reading.ok_or(Error::NoTime)?;
        let elapsed = SignedDuration::try_from(at.saturating_duration_since(reading.at)).unwrap_or(SignedDuration::MAX);
        let now = reading.server + elapsed + self.ahead;
        let latest = self.latest.map_or(now, |latest| latest.max(now));
        self.latest = Some(latest);
        Ok(latest)
    }
}

fn parse_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn time_goes_on_between_readings_and_never_back() {
        let start = Instant::now();
        let mut clock = Inner::default();
        assert!(matches!(clock.now(start), Err(Error::NoTime)));
        clock.take(at(1000), at(1003), start, start);
        assert_eq!(clock.now(start + Duration::from_secs(5)).unwrap(), at(1005));
        clock.take(at(900), at(903), start, start + Duration::from_secs(6));
        assert_eq!(clock.now(start + Duration::from_secs(6)).unwrap(), at(1005), "a leap back extends nothing");
    }

    /// The server's clock stood anywhere in its second, and anywhere on the way there and back.
    #[test]
    fn the_true_time_is_never_after_the_latest_nor_before_now() {
        let start = Instant::now();
        let (asked, answered) = (start, start + Duration::from_millis(800));
        for (read, within) in [(0, 0), (0, 999), (800, 0), (800, 999)] {
            let mut clock = Inner::default();
            clock.take(at(1000), at(1000), asked, answered);
            // `within` ms of the second had passed when the server looked, `read` ms after it was asked.
            let later = start + Duration::from_secs(10);
            let truth = at(1000) + SignedDuration::from_millis(within + 10_000 - read);
            let (now, latest) = (clock.now(later).unwrap(), clock.at_latest(later).unwrap());
            assert!(now <= truth && truth <= latest, "{read} {within}: {now} {truth} {latest}");
        }
    }

    #[test]
    fn a_clock_far_from_the_servers_serves_nothing_and_the_servers_time_goes_on() {
        let start = Instant::now();
        let mut clock = Inner::default();
        for (local, seconds) in [(1031, 31), (969, -31)] {
            clock.take(at(1000), at(local), start, start);
            assert!(matches!(clock.at_latest(start), Err(Error::Skew { seconds: by }) if by == seconds));
            assert_eq!(clock.now(start).unwrap(), at(1000), "what is erased is erased by the server's time");
        }
        clock.take(at(1000), at(970), start, start);
        assert!(clock.at_latest(start).is_ok());
    }

    #[test]
    fn the_date_header_is_read() {
        assert_eq!(parse_date("Tue, 24 Nov 2026 00:00:10 GMT"), Some("2026-11-24T00:00:10Z".parse().unwrap()));
    }
}
