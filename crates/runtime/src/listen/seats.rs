//! Who may hold a connection. There are so many seats and no more. When they are taken, a newcomer gets the oldest idle seat of the
//! address that holds most of them: an address that floods makes room with its own, and an address that holds few is heard. A seat is idle
//! while no call that was let in is under way on it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

/// An address with fewer connections than this may also take the seats that are kept free.
const FEW: usize = 4;
/// One seat in so many is kept free for such addresses.
const KEPT_FREE: usize = 8;

/// The seats of one listener.
pub(super) struct Seats {
    most: usize,
    most_of_one: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    taken: usize,
    next: u64,
    /// Seats of each address, the oldest first.
    sources: HashMap<IpAddr, BTreeMap<u64, Occupant>>,
}

struct Occupant {
    /// Calls that were let in and are under way.
    calls: usize,
    leave: CancellationToken,
}

/// Why there is no seat.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Full {
    /// This address holds its share, all of it with calls that were let in.
    Address,
    /// All seats have calls that were let in.
    Listener,
}

/// A seat; free again when dropped.
pub struct Seat {
    seats: Arc<Seats>,
    source: IpAddr,
    number: u64,
    leave: CancellationToken,
}

/// While this lives, the seat is not given to somebody else.
pub struct Busy {
    seats: Arc<Seats>,
    source: IpAddr,
    number: u64,
}

impl Seats {
    /// All of them free: `most` in all, and `most_of_one` for each address. An IPv6 address counts as its /64.
    pub(super) fn new(most: usize, most_of_one: usize) -> Arc<Self> {
        Arc::new(Self { most, most_of_one, inner: Mutex::default() })
    }

    /// A seat for a connection from `address`. True: somebody idle has to go for it.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Result<(Seat, bool), Full> {
        let source = source(address);
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let held = inner.sources.get(&source).map_or(0, BTreeMap::len);
        let open_to_it = if held < FEW { self.most } else { self.most - self.most / KEPT_FREE };
        let moved = if held >= self.most_of_one {
            inner.make_room(Some(source)).ok_or(Full::Address)?;
            true
        } else if inner.taken >= open_to_it {
            inner.make_room(None).ok_or(Full::Listener)?;
            true
        } else {
            false
        };
        let (number, leave) = (inner.next, CancellationToken::new());
        inner.next += 1;
        inner.taken += 1;
        inner.sources.entry(source).or_default().insert(number, Occupant { calls: 0, leave: leave.clone() });
        Ok((Seat { seats: self.clone(), source, number, leave }, moved))
    }

    /// How many are taken now, of all addresses.
    pub(super) fn taken(&self) -> usize {
        self.with(|inner| inner.taken)
    }

    fn with<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        f(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Inner {
    /// Takes the oldest idle seat of `source`, or of the address that has most idle ones.
    fn make_room(&mut self, source: Option<IpAddr>) -> Option<()> {
        let idle = |seats: &BTreeMap<u64, Occupant>| seats.iter().filter(|(_, o)| o.calls == 0).map(|(n, _)| *n).collect::<Vec<_>>();
        let mut candidates: Vec<(IpAddr, Vec<u64>)> = match source {
            Some(source) => vec![(source, self.sources.get(&source).map(idle).unwrap_or_default())],
            None => self.sources.iter().map(|(source, seats)| (*source, idle(seats))).collect(),
        };
        candidates.retain(|(_, idle)| !idle.is_empty());
        let (source, idle) = candidates.into_iter().max_by_key(|(_, idle)| (idle.len(), Reverse(idle[0])))?;
        self.free(source, idle[0]).map(|occupant| occupant.leave.cancel())
    }

    fn free(&mut self, source: IpAddr, number: u64) -> Option<Occupant> {
        let seats = self.sources.get_mut(&source)?;
        let occupant = seats.remove(&number)?;
        if seats.is_empty() {
            self.sources.remove(&source);
        }
        self.taken -= 1;
        Some(occupant)
    }

    fn occupant(&mut self, source: IpAddr, number: u64) -> Option<&mut Occupant> {
        self.sources.get_mut(&source)?.get_mut(&number)
    }
}

impl Seat {
    /// Resolves when the seat was given to somebody else.
    pub async fn given_away(&self) {
        self.leave.cancelled().await;
    }

    /// A call was let in: the seat stays until the call is over.
    pub fn busy(&self) -> Busy {
        self.seats.with(|inner| inner.occupant(self.source, self.number).map(|occupant| occupant.calls += 1));
        Busy { seats: self.seats.clone(), source: self.source, number: self.number }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.with(|inner| drop(inner.free(self.source, self.number)));
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        // The seat may have gone before its call.
        self.seats.with(|inner| inner.occupant(self.source, self.number).map(|occupant| occupant.calls -= 1));
    }
}

/// A machine that has an IPv6 address has a /64 of them.
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u8) -> IpAddr {
        [10, 0, 0, number].into()
    }

    #[test]
    fn a_flood_makes_room_with_its_own_oldest() {
        let seats = Seats::new(16, 100);
        let (few, _) = seats.take(address(1)).unwrap();
        let mut flood: Vec<Seat> = Vec::new();
        for number in 0..1000_u32 {
            flood.push(seats.take(address(2 + u8::from(number.is_multiple_of(2)))).unwrap().0);
            assert!(seats.taken() <= 16);
        }
        assert!(!few.leave.is_cancelled(), "who holds one seat keeps it");
        let gone = flood.iter().filter(|seat| seat.leave.is_cancelled()).count();
        assert_eq!(1000 - gone, 13, "a part stays free for those who hold few");
        assert!(flood.iter().rev().take(10).all(|seat| !seat.leave.is_cancelled()), "the oldest went");
        let newcomers: Vec<Seat> = (0..8).map(|number| seats.take(address(100 + number)).unwrap().0).collect();
        assert!(newcomers.iter().all(|seat| !seat.leave.is_cancelled()));
        assert_eq!(seats.taken(), 16);
        drop((few, flood, newcomers));
        assert_eq!(seats.taken(), 0, "each seat is given back once");
    }

    #[test]
    fn a_seat_with_a_call_under_way_is_not_given_away() {
        let seats = Seats::new(16, 3);
        let held: Vec<(Seat, Busy)> = (0..3)
            .map(|_| {
                let (seat, moved) = seats.take(address(1)).unwrap();
                assert!(!moved);
                let busy = seat.busy();
                (seat, busy)
            })
            .collect();
        assert_eq!(seats.take(address(1)).err(), Some(Full::Address));
        assert!(seats.take(address(2)).is_ok(), "others are not meant");
        drop(held);
        let all: Vec<(Seat, Busy)> = (0..16)
            .map(|number| {
                let (seat, _) = seats.take(address(number)).unwrap();
                let busy = seat.busy();
                (seat, busy)
            })
            .collect();
        assert_eq!(seats.take(address(99)).err(), Some(Full::Listener));
        drop(all);
    }

    #[test]
    fn a_call_that_outlives_its_seat_frees_nothing_twice() {
        let seats = Seats::new(4, 4);
        let (seat, _) = seats.take(address(1)).unwrap();
        let busy = seat.busy();
        drop(seat);
        drop(busy);
        assert_eq!(seats.taken(), 0);
    }

    #[test]
    fn a_64_of_ipv6_is_one_address() {
        let of = |text: &str| source(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), address(1));
    }
}
